"""What is said of code, and the code: in Python, and where comments stand above definitions elsewhere."""

from __future__ import annotations

import pytest
from finding import found, queries

from revela.pairs.code import comment_text

PYTHON = '''
import os


@cached
def read_all(path):
    """Read a whole file into memory.

    A blank line above.
    """
    # Windows hands out paths with two kinds of slashes.
    return open(os.path.normpath(path)).read()


class Store:
    """Keeps what was read until it is asked for."""

    def put(self, key):
        """Short."""
        return key

    if os.name == "nt":

        async def get(self, key):
            """Wait until the value of a key is there."""
            return self.values[key]
'''


def test_a_docstring_stands_for_its_code_without_it() -> None:
    first, store, get = found("docstring", PYTHON, "python")
    assert first == (
        "Read a whole file into memory.",
        "@cached\ndef read_all(path):\n    # Windows hands out paths with two kinds of slashes.\n"
        "    return open(os.path.normpath(path)).read()",
    )
    assert store[0] == "Keeps what was read until it is asked for."
    assert "Keeps" not in store[1] and '"""Short."""' in store[1]
    assert get == (
        "Wait until the value of a key is there.",
        "async def get(self, key):\n    return self.values[key]",
    )


@pytest.mark.parametrize(
    "source",
    [
        'def f():\n    """Return a string."""\n    return ""\n',  # three words fit anything
        'def f():\n    """Return what was asked of it."""\n',  # nothing but the docstring
        'def f(): """Return what was asked of it."""; return 1\n',  # no lines of its own
        'def f():\n    """Return what was asked."""\n    # return what was asked.\n    return 1\n',
        'def f():\n    """Return what was asked of it."""\n    return 1 +\n',  # no Python
        'print "Return what was asked of it."\n',
        "x = " + "-" * 5000 + "1\n",  # deeper than the parser goes
        "",
    ],
)
@pytest.mark.parametrize("rule", ["docstring", "definition", "message"])
def test_no_pair_comes_from_python_that(source: str, rule: str) -> None:
    assert found(rule, source, "python") == []


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_lines_of_python_may_end_in_any_way(line_end: str) -> None:
    source = 'x = "é"\n\ndef f():\n    """Return what was asked of it."""\n    return 1\n'
    [(query, code)] = found("docstring", source.replace("\n", line_end), "python")
    assert (query, code) == ("Return what was asked of it.", "def f():\n    return 1")


def test_definitions_are_found_below_the_deepest_nesting() -> None:
    chain = "if a:\n    pass\n" + "elif b:\n    pass\n" * 1500
    source = f'{chain}else:\n    def f():\n        """Return what was asked of it."""\n        return 1\n'
    assert queries("docstring", source, "python") == ["Return what was asked of it."]


DESCRIBED = '''
def f(path):
    """Open a file. Its lines are read one by one as they are asked
    for."""
    return open(path)

def f2(path):
    """Open a file."""
    total = 1
    # Windows hands out paths with two kinds of slashes.
    return open(path)

def open_every_file(path):
    """Open a file."""
    return open(path)

def open_every_directory(path):
    # Nobody documented this one, whatever it is called.
    return open(path)
'''


def test_a_definition_keeps_its_docstring_and_loses_what_describes_it() -> None:
    second_sentence, comment, name = found("definition", DESCRIBED, "python")
    assert second_sentence == (
        "Its lines are read one by one as they are asked for.",
        'def f(path):\n    """Open a file."""\n    return open(path)',
    )
    assert comment == (
        "Windows hands out paths with two kinds of slashes.",
        'def f2(path):\n    """Open a file."""\n    total = 1\n\n    return open(path)',
    )
    assert name == (
        "open every file",
        'def open_every_file(path):\n    """Open a file."""\n    return open(path)',
    )


@pytest.mark.parametrize(
    "body",
    [
        "# TODO open the file only once",
        "# x = open(path) if path else None",
        "# noqa: whatever the rule is called",
        "# too short",
    ],
)
def test_a_comment_that_is_code_or_a_note_describes_nothing(body: str) -> None:
    assert found("definition", f'def f():\n    """Open."""\n    {body}\n    return 1\n', "python") == []


def test_what_cannot_be_taken_out_as_it_was_read_describes_nothing() -> None:
    escaped = 'def f():\n    """Open it. The line end is \\\\n on every system here."""\n    return 1\n'
    assert found("definition", escaped, "python") == []
    twice = (
        'def f():\n    """Open."""\n    # Read it from the end.\n    # Read it from the end.\n    return 1\n'
    )
    assert found("definition", twice, "python") == []


def test_what_stands_below_the_longest_passage_describes_nothing() -> None:
    far = 'def f():\n    """Open."""\n' + "    x += 1\n" * 300 + "    # Read it from the end.\n    return x\n"
    assert found("definition", far, "python") == []


LANGUAGES = {
    "js": (
        "import a from 'a';\n\n"
        "/**\n * Opens the named file for reading. Callers close it when they are done.\n"
        " * @param {string} name\n */\n"
        "export async function openNamedFile(name) {\n\treturn fs.open(name);\n}\n",
        "Opens the named file for reading.",
        "export async function openNamedFile(name) {\n\treturn fs.open(name);\n}",
    ),
    "ts": (
        "// What a reader of files has to offer. Closing is left to the callers of it.\n"
        "export interface FileReaderLike {\n  read(size: number): string;\n}\n",
        "What a reader of files has to offer.",
        "export interface FileReaderLike {\n  read(size: number): string;\n}",
    ),
    "java": (
        "class A {\n    /**\n     * Opens the {@link File} for reading.\n     *\n     * <p>It stays open.\n"
        "     * @return a stream\n     */\n"
        "    @Override\n    @Deprecated(since = \"2\")\n"
        "    public Stream open() {\n        return s;\n    }\n}\n",
        "Opens the File for reading.",
        "@Override\n@Deprecated(since = \"2\")\npublic Stream open() {\n    return s;\n}",
    ),
    "go": (
        "package a\n\n// Open opens the named file for reading.\n// Callers close it.\n"
        "func Open(name string) *File {\n\treturn open(name)\n}\n",
        "Open opens the named file for reading.",
        "func Open(name string) *File {\n\treturn open(name)\n}",
    ),
    "rs": (
        "impl Files {\n    /// Opens the named file for reading.\n"
        "    /// It stays open\n    /// until it is dropped.\n"
        "    ///\n    /// # Panics\n    /// Never.\n"
        "    #[inline]\n    #[must_use]\n    pub fn open(name: &str) -> File {\n        todo!()\n    }\n}\n",
        "Opens the named file for reading.",
        "#[inline]\n#[must_use]\npub fn open(name: &str) -> File {\n    todo!()\n}",
    ),
    "c": (
        "/* Opens the named file for reading. */\nstatic FILE *\nopen_file(const char *name)\n{\n"
        "\treturn fopen(name, \"r\");\n}\n",
        "Opens the named file for reading.",
        "static FILE *\nopen_file(const char *name)\n{\n\treturn fopen(name, \"r\");\n}",
    ),
    "cpp": (
        "namespace a {\n/// \\brief Opens the named file for reading.\n/// \\param name of it\n"
        "template <class T>\nT open(const char* name) {\n  return T(name);\n}\n}\n",
        "Opens the named file for reading.",
        "template <class T>\nT open(const char* name) {\n  return T(name);\n}",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", LANGUAGES)
def test_a_comment_stands_for_the_definition_below_it_in(kind: str) -> None:
    source, query, code = LANGUAGES[kind]
    assert found("docstring", source, kind) == [(query, code)]


@pytest.mark.parametrize(
    ("kind", "descriptions"),
    [
        # Which description is drawn is a matter of the text: a second sentence, or the name.
        ("js", {"Callers close it when they are done.", "open named file"}),
        ("ts", {"Closing is left to the callers of it.", "file reader like"}),
        ("rs", {"It stays open until it is dropped."}),
    ],
)
def test_a_definition_elsewhere_keeps_its_comment_but_for_the_query(
    kind: str, descriptions: set[str]
) -> None:
    source, first_sentence, code = LANGUAGES[kind]
    [(query, whole)] = found("definition", source, kind)
    assert query in descriptions
    assert first_sentence in whole and whole.endswith(code)
    assert not set(query.split()) <= set(whole.split())


def test_a_name_is_found_inside_what_wraps_it() -> None:
    source = "// Opens it.\nexport function openNamedFile(a) {\n  return 1;\n}\n"
    assert found("definition", source, "js") == [("open named file", source.rstrip())]
    assert queries("definition", "package a\n\n// T.\ntype OpenNamedFile struct {\n}\n", "go") == [
        "open named file"
    ]
    templated = "// T.\ntemplate <class T>\nclass OpenNamedFile {\n  T t;\n};\n"
    assert queries("definition", templated, "cpp") == ["open named file"]


@pytest.mark.parametrize(
    "source",
    [
        "// Opens the named file for reading.\n\nint f(void) { return 1; }\n",  # a blank line between
        "int x; // Tells how many files are open.\nint f(void) { return 1; }\n",  # about x
        "/* Tells how many files are open. */\nint x;\nint f(void) { return 1; }\n",
        "// Opens it.\nint f(void) { return 1; }\n",  # too short
        "/* Opens the named file for reading. */ int f(void) { /* opens the named file for reading. */ }\n",
        "it was the best of times; it was (the worst of times\n" * 20,
    ],
)
def test_a_comment_is_about_nothing_where(source: str) -> None:
    assert found("docstring", source, "c") == []


def test_pairs_come_in_the_order_of_the_text() -> None:
    source = "".join(
        f"// Class {name} keeps some of the files.\nclass {name} {{\n"
        f"  // Method of {name} that opens a file.\n  void open() {{ }}\n}}\n"
        for name in ("One", "Two", "Three")
    )
    positions = [source.index(query) for query in queries("docstring", source, "java")]
    assert len(positions) == 6 and positions == sorted(positions)


@pytest.mark.parametrize(
    ("comment", "text"),
    [
        ("/** Maps a List<String> to a <code>Set</code>. */", "Maps a List<String> to a Set."),
        ("// Where a < b and c > d\n// it stops.", "Where a < b and c > d\nit stops."),
        ("/*!\n * @brief Opens it.\n * @details Slowly.\n * @param x\n */", "Opens it.\nSlowly."),
        ("//! Opens it.\n//!\n//! More.", "Opens it.\n\nMore."),
        ("/**\r\n * Opens it.\r\n * @return x\r\n */", "Opens it."),
    ],
)
def test_a_comment_is_read_without_marks_tags_and_markup(comment: str, text: str) -> None:
    assert comment_text(comment) == text

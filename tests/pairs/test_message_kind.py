"""Messages of errors and log lines, and the functions that they come from."""

from __future__ import annotations

import pytest
from finding import found, queries

MESSAGES = {
    "a literal": ('raise ValueError("the file has no lines in it")', "the file has no lines in it"),
    "an f-string": ('raise ValueError(f"file {name!r} has {n:>3} of its lines")', "file has of its lines"),
    "percent": ('raise ValueError("file %r has only %(n)d of its lines" % x)', "file has only of its lines"),
    "format": ('raise ValueError("file {} has {n:d} of its lines".format(x))', "file has of its lines"),
    "several lines": ('raise ValueError(\n        "the file has "\n        f"no lines {n} in it"\n    )',
                      "the file has no lines in it"),
    "a logger": ('log.warning("the file has %d lines in it", n)', "the file has lines in it"),
    "warnings": ('warnings.warn(f"the file has {n} lines in it", stacklevel=2)', "the file has lines in it"),
    "letters beyond ascii": ('é = 1; log.error("die Datei hat überhaupt keine Zeilen")',
                             "die Datei hat überhaupt keine Zeilen"),
}  # fmt: skip


@pytest.mark.parametrize("how", MESSAGES)
def test_a_message_stands_for_its_function_without_it(how: str) -> None:
    statement, query = MESSAGES[how]
    source = f'def read(name):\n    """Read it all."""\n    n = 1\n    {statement}\n'
    [(message, code)] = found("message", source, "python")
    assert message == query
    assert code.startswith("def read(name):\n    n = 1\n    ") and '"..."' in code
    assert "lines" not in code and "Zeilen" not in code and "Read it all" not in code
    compile(code, "code", "exec")


@pytest.mark.parametrize(
    "statement",
    [
        'raise ValueError("too short")',
        'raise ValueError("%s: %s %d %d" % x)',
        "raise ValueError(text)",
        'raise ValueError("the file " + "has no lines")',
        'print("the file has no lines in it")',
        'raise ValueError("the file has no lines in it")  # the file has no lines in it',
        "x = 1\n" * 400 + '    raise ValueError("the file has no lines in it")',  # beyond the longest passage
    ],
)
def test_a_message_stands_for_nothing_where(statement: str) -> None:
    assert found("message", f"def read(name):\n    {statement}\n", "python") == []


def test_the_first_usable_message_of_each_function_is_taken() -> None:
    source = (
        'def f():\n    log.info("short")\n    log.info("the first of two messages")\n'
        '    log.info("the second of two messages")\n\n'
        'class A:\n    def m(self):\n        raise E("the message of some method")\n'
    )
    assert queries("message", source, "python") == ["the first of two messages", "the message of some method"]


def test_a_logging_call_inside_an_f_string_is_read() -> None:
    source = 'def f():\n    return f"""ééé\n{log.error(\'é the file has no lines\')}"""\n'
    assert queries("message", source, "python") == ["é the file has no lines"]


ELSEWHERE = {
    "js": (
        'function read(name) {\n  if (!name) {\n    throw new Error(`file ${name} has no lines`);\n  }\n}\n',
        "file has no lines",
        'throw new Error("...");',
    ),
    "ts": (
        "function read(name: string) {\n  console.error('the file has\\nno lines in it');\n  return;\n}\n",
        "the file has no lines in it",
        'console.error("...");',
    ),
    "java": (
        "class A {\n  void read(String a, String b) {\n    throw new IllegalStateException(\n"
        '        "the file has no lines in it");\n  }\n}\n',
        "the file has no lines in it",
        'IllegalStateException(\n        "...");',
    ),
    "go": (
        'package a\n\nfunc Read(n string) error {\n\tif n == "" {\n'
        '\t\treturn fmt.Errorf("file %q: %w has no lines left", n, err)\n\t}\n\treturn nil\n}\n',
        "file : has no lines left",
        'fmt.Errorf("...", n, err)',
    ),
    "rs": (
        "fn read<'a>(name: &'a str, other: &'a str) -> u8 {\n    if name == other {\n"
        '        panic!("file {} has no lines", name);\n    }\n    1\n}\n',
        "file has no lines",
        'panic!("...", name)',
    ),
    "c": (
        "/* Fails where it can't be read and doesn't say so, which isn't nice. */\nint read_it(char *a)\n{\n"
        '\tlog_error("a", "b", "the \\"file\\" has no lines");\n\treturn 0;\n}\n',
        'the "file" has no lines',
        'log_error("a", "b", "...");',
    ),
    "cpp": (
        'int read() {\n  // an error\n  throw std::runtime_error("the file has no lines in it");\n}\n',
        "the file has no lines in it",
        'std::runtime_error("...")',
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", ELSEWHERE)
def test_messages_are_found_in(kind: str) -> None:
    source, query, masked = ELSEWHERE[kind]
    [(message, code)] = found("message", source, kind)
    assert message == query
    assert masked in code and "no lines" not in code


@pytest.mark.parametrize(
    "line",
    [
        'puts("the file has no lines in it");',  # tells of nothing
        "// an error: it can't be that this isn't, or doesn't",  # apostrophes
        'error("a", 1 + many + words + here, "b");',  # what stands between two strings
        'error("no %d %s %d");',
    ],
)
def test_no_message_is_found_on_the_line(line: str) -> None:
    assert found("message", f"int f(void)\n{{\n  {line}\n  return 1;\n}}\n", "c") == []

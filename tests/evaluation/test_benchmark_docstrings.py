import ast
import sysconfig
import textwrap
from pathlib import Path

import pytest

from revela.errors import RevelaError
from revela.evaluation.benchmarks import Benchmark, docstrings, load_benchmark, standard_library
from revela.settings import DocstringsBenchmark

SOURCE = textwrap.dedent('''
    import os

    def greet(name):
        """Say hello to somebody by name. Return nothing.

        Longer text.
        """

        # a comment that stays
        print("hello", name)
        return None

    class Shape:
        @property
        def area(self):
            \'\'\'The surface of this shape in units.\'\'\'
            width = self.width  # note
            return width * self.height

        async def draw(self):
            """Draw this shape on the canvas"""
            await self.canvas.draw(self)
            return self

        def _hidden(self):
            """Not part of the public interface."""
            a = 1
            return a

        def bare(self):
            """Only a docstring and nothing else here."""

    class _Private:
        def method(self):
            """A public name in a private class."""
            a = 1
            return a

    def one_line(): "A docstring beside its own code."; return 1

    def short(a):
        """Too short."""
        a += 1
        return a

    if os.name == "posix":
        def outer(a):
            """Only the outer function of these counts."""
            def inner(b):
                """An inner function is no pair itself."""
                return b
            return inner(a)
''')


def pairs() -> dict[str, standard_library.Pair]:
    return {pair.id: pair for pair in docstrings.pairs_of_source(SOURCE, "package/file.py")}


@pytest.fixture(scope="module")
def benchmark() -> Benchmark:
    return load_benchmark(DocstringsBenchmark(kind="docstrings"))


def test_public_functions_and_methods_with_usable_docstrings_are_pairs():
    assert list(pairs()) == [
        "package/file.py:greet",
        "package/file.py:Shape.area",
        "package/file.py:Shape.draw",
        "package/file.py:outer",
    ]


def test_query_is_the_first_sentence():
    assert pairs()["package/file.py:greet"].query == "Say hello to somebody by name."


def test_document_is_the_source_without_its_docstring_dedented():
    assert pairs()["package/file.py:greet"].document == (
        'def greet(name):\n    # a comment that stays\n    print("hello", name)\n    return None'
    )
    assert pairs()["package/file.py:Shape.area"].document == (
        "@property\ndef area(self):\n    width = self.width  # note\n    return width * self.height"
    )


@pytest.mark.parametrize(
    ("docstring", "sentence"),
    [
        ("Return the value of x. Then stop.", "Return the value of x."),
        ("Wraps\n    over two lines\n\nSecond paragraph.", "Wraps over two lines"),
        ("Handle files, e.g. those of the user.", "Handle files, e.g. those of the user."),
        ("Add two numbers together\n>>> add(1, 2)\n3", "Add two numbers together"),
        ("Read the whole file\n:param path: where", "Read the whole file"),
        ("Three short words.", None),
        ("word " * 41, None),
        (">>> this(is, a, doctest) only", None),
        ("", None),
    ],
)
def test_first_sentence(docstring, sentence):
    assert standard_library.first_sentence(docstring) == sentence


def test_columns_are_bytes_so_letters_beyond_ascii_before_the_docstring_do_no_harm():
    source = 'def naïve(é="ü"):\n    """Do something naïve with it."""\n    x = é\n    return x\n'
    (pair,) = docstrings.pairs_of_source(source, "a.py")
    assert pair.document == 'def naïve(é="ü"):\n    x = é\n    return x'


def test_a_pair_whose_query_is_repeated_in_the_code_is_left_out():
    docstring, comment = '    """Stop the server at once."""\n', "    # stop the  server at once.\n"
    source = f"def stop():\n{docstring}{comment}    a = 1\n    return a\n"
    assert list(docstrings.pairs_of_source(source, "a.py")) == []


def test_shared_queries_and_documents_keep_the_first_pair_only(tmp_path: Path):
    template = 'def {name}(x):\n    """{doc}"""\n    y = x + {number}\n    return y\n'
    for file, name, doc, number in [
        ("a.py", "f", "Add something to the number.", 1),
        ("b.py", "g", "add something  to the number.", 2),  # the query again
        ("c.py", "f", "Quite another sentence here.", 1),  # the document again
        ("d.py", "h", "One more sentence to keep.", 3),
        ("test/e.py", "i", "A test is not library code.", 4),
    ]:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(template.format(name=name, doc=doc, number=number))
    assert [pair.id for pair in standard_library.collect_pairs(tmp_path, docstrings.pairs_of_source)] == [
        "a.py:f",
        "d.py:h",
    ]


def test_a_file_that_does_not_parse_is_named(tmp_path: Path):
    (tmp_path / "broken.py").write_text("def f(:\n")
    with pytest.raises(RevelaError, match=r"broken\.py does not parse"):
        standard_library.collect_pairs(tmp_path, docstrings.pairs_of_source)


def test_no_standard_library_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"stdlib": str(tmp_path)})
    with pytest.raises(RevelaError, match="no Python sources to make pairs of"):
        load_benchmark(DocstringsBenchmark(kind="docstrings"))


def test_standard_library_gives_thousands_of_pairs_one_document_a_query(benchmark: Benchmark):
    assert len(benchmark.queries) > 2000
    assert list(benchmark.queries) == sorted(benchmark.queries) == list(benchmark.corpus)
    assert all(judgements == {query: 1} for query, judgements in benchmark.qrels.items())
    assert "argparse.py:ArgumentParser.parse_known_args" not in benchmark.queries  # it has no docstring
    assert "textwrap.py:dedent" in benchmark.queries
    assert "CPython 3." in benchmark.description


def test_standard_library_documents_parse_and_do_not_hold_their_query(benchmark: Benchmark):
    for key, document in benchmark.corpus.items():
        squashed = "".join(document.lower().split())
        assert "".join(benchmark.queries[key].lower().split()) not in squashed, key
        assert not document[0].isspace(), key
        assert 3 <= len(document.split("\n")) <= 60, key
        (function,) = ast.parse(document).body
        assert ast.get_docstring(function) is None, key


def test_standard_library_queries_and_documents_differ(benchmark: Benchmark):
    assert len({" ".join(text.lower().split()) for text in benchmark.queries.values()}) == len(
        benchmark.queries
    )
    assert len({"".join(text.split()) for text in benchmark.corpus.values()}) == len(benchmark.corpus)


def test_limit_is_deterministic_and_nested(benchmark: Benchmark):
    fifty = load_benchmark(DocstringsBenchmark(kind="docstrings", limit=50))
    hundred = load_benchmark(DocstringsBenchmark(kind="docstrings", limit=100))
    again = load_benchmark(DocstringsBenchmark(kind="docstrings", limit=50))
    assert fifty == again
    assert len(fifty.queries) == len(fifty.corpus) == 50
    assert fifty.queries.items() < hundred.queries.items() < benchmark.queries.items()
    assert len({key.split(":")[0] for key in fifty.queries}) > 25  # spread over the library

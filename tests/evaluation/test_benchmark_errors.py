"""Error message -> function, with the message taken out of it."""

import ast
import textwrap

import pytest

from revela.evaluation.benchmarks import Benchmark, errors, load_benchmark
from revela.settings import ErrorsBenchmark

SOURCE = textwrap.dedent('''
    def read(path):
        """Read a file."""
        if not path:
            raise ValueError("too short")
        if path.startswith("ü"): raise ValueError("the path %r must not begin with that" % path)
        return open(path)

    class Pool:
        def _grow(self, size):
            if size < 0:
                raise RuntimeError(
                    "a pool cannot be made smaller "
                    "than it is now".format()
                )
            self.size = size

        def told(self):
            # the worker has been stopped already
            a = 1
            raise RuntimeError("The worker has been stopped already")

    def reraise(error):
        raise error
''')


def pairs() -> dict[str, tuple[str, str]]:
    return {pair.id: (pair.query, pair.document) for pair in errors.pairs_of_source(SOURCE, "a.py")}


@pytest.fixture(scope="module")
def benchmark() -> Benchmark:
    return load_benchmark(ErrorsBenchmark(kind="errors"))


def test_a_function_gives_its_first_message_of_four_words_private_methods_too():
    assert {key: query for key, (query, _) in pairs().items()} == {
        "a.py:read": "the path must not begin with that",
        "a.py:Pool._grow": "a pool cannot be made smaller than it is now",
    }


def test_message_and_docstring_are_taken_out_of_the_document():
    assert pairs()["a.py:read"][1].split("\n") == [
        "def read(path):",
        "    if not path:",
        '        raise ValueError("too short")',
        '    if path.startswith("ü"): raise ValueError("..." % path)',
        "    return open(path)",
    ]


def test_a_message_over_several_lines_leaves_one():
    assert pairs()["a.py:Pool._grow"][1].split("\n")[2:5] == [
        "        raise RuntimeError(",
        '            "...".format()',
        "        )",
    ]


@pytest.mark.parametrize(
    ("message", "query"),
    [
        ("file %r has only %(count)d of its lines", "file has only of its lines"),
        ("no {name} in the {0!r} at all", "no in the at all"),
        ("expected %s", None),
        ("a b c d", None),
        ("word " * 41, None),
    ],
)
def test_placeholders_are_no_part_of_the_query(message, query):
    assert errors.message_as_query(message) == query


def test_standard_library_gives_hundreds_of_pairs_that_do_not_hold_their_query(benchmark: Benchmark):
    assert len(benchmark.queries) > 600
    for key, document in benchmark.corpus.items():
        assert "".join(benchmark.queries[key].lower().split()) not in "".join(document.lower().split()), key
        assert "\0" not in document, key
        (function,) = ast.parse(document).body
        assert ast.get_docstring(function) is None, key

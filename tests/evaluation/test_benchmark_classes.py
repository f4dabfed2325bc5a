"""Docstring -> class, and that its pairs come from the standard library alone."""

import ast
import textwrap

import pytest

from revela.evaluation.benchmarks import Benchmark, classes, load_benchmark
from revela.settings import ClassesBenchmark

SOURCE = textwrap.dedent('''
    import dataclasses

    @dataclasses.dataclass
    class Shape:
        """A closed figure in the plane. It has a surface.

        Longer text.
        """

        width: int

        def area(self):
            """The surface of it."""
            return self.width

        class Corner:
            """A point where two sides meet."""

            x = 0
            y = 0

        class _Hidden:
            """Not part of the public interface."""

            x = 0
            y = 0

    class Bare:
        """Only a docstring and nothing else here."""

    class Quoted:
        """Say what this class is for."""

        a = 1
        hint = "Say what this class is for."

    def make():
        class Inner:
            """A class inside a function is no pair."""

            x = 0
            y = 0
''')


def pairs() -> dict[str, tuple[str, str]]:
    return {pair.id: (pair.query, pair.document) for pair in classes.pairs_of_source(SOURCE, "a.py")}


@pytest.fixture(scope="module")
def benchmark() -> Benchmark:
    return load_benchmark(ClassesBenchmark(kind="classes"))


def test_public_classes_outside_functions_with_usable_docstrings_are_pairs():
    assert list(pairs()) == ["a.py:Shape", "a.py:Shape.Corner"]


def test_only_the_docstring_of_the_class_itself_is_taken_out():
    query, document = pairs()["a.py:Shape"]
    assert query == "A closed figure in the plane."
    assert document.startswith("@dataclasses.dataclass\nclass Shape:\n    width: int\n")
    assert "The surface of it." in document and "Longer text" not in document


def test_standard_library_gives_hundreds_of_pairs_that_do_not_hold_their_query(benchmark: Benchmark):
    assert len(benchmark.queries) > 400
    for key, document in benchmark.corpus.items():
        assert "".join(benchmark.queries[key].lower().split()) not in "".join(document.lower().split()), key
        (parsed,) = ast.parse(document).body
        assert isinstance(parsed, ast.ClassDef) and ast.get_docstring(parsed) is None, key

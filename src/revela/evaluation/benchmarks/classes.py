"""Docstring -> class, over the CPython standard library: longer documents than those of `docstrings`.

The query is the first sentence of a class's docstring, the document is the class's source with that docstring
taken out; its methods keep theirs, as they would in a code base.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from revela.evaluation.benchmarks import standard_library
from revela.evaluation.benchmarks.base import Benchmark
from revela.evaluation.benchmarks.standard_library import Pair, docstring_pairs, parse
from revela.pairs.python_source import FunctionNode
from revela.settings import ClassesBenchmark

# Below 3 lines there is nothing but a name; above 200 it is a module rather than a passage.
MIN_LINES, MAX_LINES = 3, 200


def load(settings: ClassesBenchmark) -> Benchmark:
    """Build the benchmark from the running interpreter's standard library.

    Raises:
        RevelaError: the standard library's sources are not on this machine.
    """
    what = "first sentence of the docstring -> class without it"
    return standard_library.build(settings, pairs_of_source, what)


def pairs_of_source(source: str, file: str) -> Iterator[Pair]:
    """The pairs of one file, in the order of its lines.

    Classes count wherever they are but inside functions, where no part of their dotted name starts with an
    underscore.

    Raises:
        RevelaError: the source does not parse.
    """
    tree, lines = parse(source, file)
    return docstring_pairs(_public_classes(tree), file, lines, MIN_LINES, MAX_LINES)


def _public_classes(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.ClassDef]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef):
            if not node.name.startswith("_"):
                if ast.get_docstring(node, clean=False):
                    yield prefix + node.name, node
                yield from _public_classes(node, f"{prefix}{node.name}.")
        elif not isinstance(node, FunctionNode):
            yield from _public_classes(node, prefix)

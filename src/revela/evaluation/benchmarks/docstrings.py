"""Docstring -> function, over the CPython standard library: a benchmark that every machine has.

The query is the first sentence of a docstring, the document is the source of its function or method
with the docstring taken out (comments stay).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from revela.evaluation.benchmarks import standard_library
from revela.evaluation.benchmarks.base import Benchmark
from revela.evaluation.benchmarks.standard_library import Pair, docstring_pairs, parse
from revela.pairs.python_source import FunctionNode
from revela.settings import DocstringsBenchmark

# Below 3 lines there is a signature and one expression; above 60 no encoder reads to the end.
MIN_LINES, MAX_LINES = 3, 60


def load(settings: DocstringsBenchmark) -> Benchmark:
    """Build the benchmark from the running interpreter's standard library.

    Raises:
        RevelaError: the standard library's sources are not on this machine.
    """
    what = "first sentence of the docstring -> function without it"
    return standard_library.build(settings, pairs_of_source, what)


def pairs_of_source(source: str, file: str) -> Iterator[Pair]:
    """The pairs of one file, in the order of its lines.

    Functions at module level and methods of classes count where no part of their dotted name starts with an
    underscore; functions inside functions do not.

    Raises:
        RevelaError: the source does not parse.
    """
    tree, lines = parse(source, file)
    return docstring_pairs(_public_functions(tree), file, lines, MIN_LINES, MAX_LINES)


def _public_functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, FunctionNode]]:
    """Dotted names and nodes, looking into classes and into `if`, `try` and `with`, not into functions."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, FunctionNode):
            if not node.name.startswith("_") and ast.get_docstring(node, clean=False):
                yield prefix + node.name, node
        elif isinstance(node, ast.ClassDef):
            if not node.name.startswith("_"):
                yield from _public_functions(node, f"{prefix}{node.name}.")
        else:
            yield from _public_functions(node, prefix)

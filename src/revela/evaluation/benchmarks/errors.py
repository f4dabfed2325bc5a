"""Error message -> the function that raises it, over the CPython standard library.

What somebody with a message on the screen searches for. The query is a message in a ``raise``, the document
is the function or method with that message replaced by ``"..."`` and its docstring taken out; what is left
to go by is what the code does.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from revela.evaluation.benchmarks import standard_library
from revela.evaluation.benchmarks.base import Benchmark
from revela.evaluation.benchmarks.standard_library import Pair, parse
from revela.pairs.pair import squash
from revela.pairs.python_source import (
    FunctionNode,
    message_as_query,
    source_without_message,
    text_argument,
)
from revela.settings import ErrorsBenchmark

# As for `docstrings`: below 3 lines there is a signature and the raise, above 60 no encoder reads to the end.
MIN_LINES, MAX_LINES = 3, 60


def load(settings: ErrorsBenchmark) -> Benchmark:
    """Build the benchmark from the running interpreter's standard library.

    Raises:
        RevelaError: the standard library's sources are not on this machine.
    """
    what = "error message -> function that raises it, message and docstring taken out"
    return standard_library.build(settings, pairs_of_source, what)


def pairs_of_source(source: str, file: str) -> Iterator[Pair]:
    """The pairs of one file, in the order of its lines: one a function, its first usable message.

    All functions and methods count, private ones too (they raise as well), but none inside functions.

    Raises:
        RevelaError: the source does not parse.
    """
    tree, lines = parse(source, file)
    for name, node in _functions(tree):
        for literal in _messages(node):
            query = message_as_query(str(literal.value))
            document = source_without_message(literal, node, lines)
            if query is None or document is None or squash(query) in squash(document):
                continue
            if MIN_LINES <= document.count("\n") + 1 <= MAX_LINES:
                yield Pair(f"{file}:{name}", query, document)
                break


def _functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, FunctionNode]]:
    """Dotted names and nodes, looking into everything but functions."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, FunctionNode):
            yield prefix + node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node, f"{prefix}{node.name}.")
        else:
            yield from _functions(node, prefix)


def _messages(function: FunctionNode) -> list[ast.Constant]:
    """String literals that are an exception's first argument, formatted by % or .format or not."""
    raised = (node.exc for node in ast.walk(function) if isinstance(node, ast.Raise))
    found = [text for call in raised if isinstance(text := text_argument(call), ast.Constant)]
    return sorted(found, key=lambda literal: (literal.lineno, literal.col_offset))

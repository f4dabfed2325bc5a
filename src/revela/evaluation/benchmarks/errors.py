"""Error message -> the function that raises it, over the CPython standard library.

What somebody with a message on the screen searches for. The query is a message in a ``raise``, the document
is the function or method with that message replaced by ``"..."`` and its docstring taken out; what is left
to go by is what the code does.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from revela.evaluation.benchmarks import standard_library
from revela.evaluation.benchmarks.base import Benchmark
from revela.evaluation.benchmarks.standard_library import (
    MAX_QUERY_WORDS,
    MIN_QUERY_WORDS,
    FunctionNode,
    Pair,
    parse,
    source_without_docstring,
    squash,
)
from revela.settings import ErrorsBenchmark

# As for `docstrings`: below 3 lines there is a signature and the raise, above 60 no encoder reads to the end.
MIN_LINES, MAX_LINES = 3, 60
_PLACEHOLDER = re.compile(r"%(?:\(\w+\))?[-+ #0-9.*]*[a-zA-Z]|\{[^{}]*\}")
# Stands for the later lines of a literal, whose number must not change while the docstring is cut out.
_GONE = "\0"
_WORD = re.compile(r"[A-Za-z]{2,}")


def load(settings: ErrorsBenchmark) -> Benchmark:
    """Build the benchmark from the running interpreter's standard library.

    Raises:
        RevelaError: the standard library's sources are not on this machine.
    """
    what = "error message -> function that raises it, message and docstring taken out"
    return standard_library.build(settings.name, pairs_of_source, settings.limit, what)


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
            document = _without(literal, node, lines)
            if query is None or document is None or squash(query) in squash(document):
                continue
            if MIN_LINES <= document.count("\n") + 1 <= MAX_LINES:
                yield Pair(f"{file}:{name}", query, document)
                break


def message_as_query(message: str) -> str | None:
    """The message on one line without its placeholders; None where fewer than four words are left.

    >>> message_as_query("file %r has only %d of its lines")
    'file has only of its lines'
    """
    query = " ".join(_PLACEHOLDER.sub(" ", message).split())
    usable = len(_WORD.findall(query)) >= MIN_QUERY_WORDS and len(query.split()) <= MAX_QUERY_WORDS
    return query if usable else None


def _functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, FunctionNode]]:
    """Dotted names and nodes, looking into everything but functions."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, FunctionNode):
            yield prefix + node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node, f"{prefix}{node.name}.")
        else:
            yield from _functions(node, prefix)


def _messages(function: FunctionNode) -> Iterator[ast.Constant]:
    """String literals that are an exception's first argument, formatted by % or .format or not."""
    found = []
    for node in ast.walk(function):
        if not (isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args):
            continue
        first = node.exc.args[0]
        if isinstance(first, ast.BinOp) and isinstance(first.op, ast.Mod):
            first = first.left
        elif isinstance(first, ast.Call) and isinstance(first.func, ast.Attribute):
            first = first.func.value if first.func.attr == "format" else first
        if isinstance(first, ast.Constant) and isinstance(first.value, str):
            found.append(first)
    yield from sorted(found, key=lambda literal: (literal.lineno, literal.col_offset))


def _without(literal: ast.Constant, function: FunctionNode, lines: list[str]) -> str | None:
    """The function's source without docstring, `literal` replaced by ``"..."`` on its first line."""
    assert literal.end_lineno is not None and literal.end_col_offset is not None
    first, last = literal.lineno - 1, literal.end_lineno - 1
    before = lines[first].encode()[: literal.col_offset].decode()  # columns count bytes
    after = lines[last].encode()[literal.end_col_offset :].decode()
    masked = [*lines[:first], f'{before}"..."{after}', *[_GONE] * (last - first), *lines[last + 1 :]]
    document = source_without_docstring(function, masked)
    if document is None:
        return None
    return "\n".join(line for line in document.split("\n") if line != _GONE)

"""What pairs and benchmarks read out of Python source: docstrings, what they document, messages of errors."""

from __future__ import annotations

import ast
import inspect
import re
import warnings
from collections.abc import Iterator

# A query of 3 words ("Return a string.") fits hundreds of functions; one above 40 is an essay.
MIN_QUERY_WORDS, MAX_QUERY_WORDS = 4, 40

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
DocumentedNode = FunctionNode | ast.ClassDef
# What definitions stand in, beside modules.
_HOLDERS = (
    ast.ClassDef,
    *(ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.TryStar),
    *(ast.ExceptHandler, ast.Match, ast.match_case),
)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z`'\"(*])")
# A blank line, a doctest prompt, or a line of a field list ends the opening paragraph.
_PARAGRAPH_END = re.compile(r"\n[ \t]*(?:\n|>>> |:param |@param )")
_PLACEHOLDER = re.compile(r"%(?:\(\w+\))?[-+ #0-9.*]*[a-zA-Z]|\{[^{}]*\}")
_WORD = re.compile(r"[A-Za-z]{2,}")
_LINE_END = re.compile(r"\r\n|\r|\n")
# Stands for the later lines of a literal, whose number must not change while the docstring is cut out.
_GONE = "\0"


def parse_python(source: str) -> tuple[ast.Module, list[str]]:
    """The syntax tree and the lines that its positions count.

    Raises:
        SyntaxError, ValueError, RecursionError, MemoryError: the source does not parse.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes and the like are not ours to mend
        tree = ast.parse(source)
    return tree, _LINE_END.split(source)  # not splitlines(): form feeds are not line ends to the parser


def sentences_of(docstring: str) -> list[str]:
    """The sentences of a docstring's first paragraph, each on one line."""
    paragraph = _PARAGRAPH_END.split(inspect.cleandoc(docstring), maxsplit=1)[0]
    return [" ".join(one.split()) for one in _SENTENCE_END.split(" ".join(paragraph.split()))]


def usable_query(sentence: str) -> bool:
    """Whether a docstring's sentence can be searched with."""
    return MIN_QUERY_WORDS <= len(sentence.split()) <= MAX_QUERY_WORDS and ">>>" not in sentence


def first_sentence(docstring: str) -> str | None:
    """The first sentence of a docstring's first paragraph on one line; None where it makes no query."""
    sentence = sentences_of(docstring)[0]
    return sentence if usable_query(sentence) else None


def source_without_docstring(node: DocumentedNode, lines: list[str]) -> str | None:
    """A function's or class's source with decorators and comments, dedented, without its docstring's lines.

    None where the docstring shares a line with code, or where nothing but the docstring is in the body.
    """
    assert node.end_lineno is not None
    first = _first_line(node)
    if ast.get_docstring(node, clean=False) is None:
        return dedented(lines[first : node.end_lineno])
    docstring = node.body[0]
    assert docstring.end_lineno is not None and docstring.end_col_offset is not None
    before = lines[docstring.lineno - 1].encode()[: docstring.col_offset]  # columns count bytes
    after = lines[docstring.end_lineno - 1].encode()[docstring.end_col_offset :]
    if len(node.body) < 2 or before.strip() or after.strip():
        return None
    body = lines[docstring.end_lineno : node.end_lineno]
    while not body[0].strip():
        del body[0]
    return dedented(lines[first : docstring.lineno - 1] + body)


def source_of(node: DocumentedNode, lines: list[str]) -> str:
    """A function's or class's source as it stands, with decorators, dedented."""
    return dedented(lines[_first_line(node) : node.end_lineno])


def definitions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, DocumentedNode]]:
    """Dotted names and nodes of functions and classes, looking into every statement but functions."""
    waiting = [(prefix, tree)]  # no recursion: generated code nests deep, a chain of `elif` for one
    while waiting:
        prefix, node = waiting.pop()
        if isinstance(node, DocumentedNode):
            yield prefix + node.name, node
            prefix = f"{prefix}{node.name}."
        if node is tree or isinstance(node, _HOLDERS):
            inner = list(ast.iter_child_nodes(node))
            waiting += [(prefix, child) for child in reversed(inner)]


def message_as_query(message: str) -> str | None:
    """The message on one line without its placeholders; None where fewer than four words are left.

    >>> message_as_query("file %r has only %d of its lines")
    'file has only of its lines'
    """
    query = " ".join(_PLACEHOLDER.sub(" ", message).split())
    usable = len(_WORD.findall(query)) >= MIN_QUERY_WORDS and len(query.split()) <= MAX_QUERY_WORDS
    return query if usable else None


def text_argument(call: ast.expr | None) -> ast.Constant | ast.JoinedStr | None:
    """The string that is a call's first argument, formatted by %, .format, an f-string, or not at all."""
    if not (isinstance(call, ast.Call) and call.args):
        return None
    first = call.args[0]
    if isinstance(first, ast.BinOp) and isinstance(first.op, ast.Mod):
        first = first.left
    elif isinstance(first, ast.Call) and isinstance(first.func, ast.Attribute):
        first = first.func.value if first.func.attr == "format" else first
    if isinstance(first, ast.JoinedStr):
        return first
    return first if isinstance(first, ast.Constant) and isinstance(first.value, str) else None


def source_without_message(
    literal: ast.Constant | ast.JoinedStr, function: FunctionNode, lines: list[str]
) -> str | None:
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


def _first_line(node: DocumentedNode) -> int:
    """Index of the first line, decorators included."""
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)]) - 1


def dedented(lines: list[str]) -> str:
    """Lines without the first one's indent and without blanks at their ends."""
    indent = lines[0][: len(lines[0]) - len(lines[0].lstrip())]
    return "\n".join(line.removeprefix(indent).rstrip() for line in lines)

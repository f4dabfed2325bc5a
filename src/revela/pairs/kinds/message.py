"""Message of an error or a log line -> the function that raises or logs it, the message taken out.

What somebody with a message on the screen searches for.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import pairwise

from revela.chunks.languages import code_blocks
from revela.corpus.schema import Document
from revela.pairs.code import python_definitions
from revela.pairs.pair import Found, shorten, squash
from revela.pairs.python_source import (
    FunctionNode,
    message_as_query,
    source_without_message,
    text_argument,
)

_LOGGING = frozenset({"critical", "debug", "error", "exception", "fatal", "info", "warn", "warning"})
# A line of another language that tells of something going wrong, and its string.
_TELLS = re.compile(
    r"\b(?:throw|raise|panic!?|bail!?|anyhow!?|expect|abort|fatal\w*|err\w*|\w*Error\w*|\w*Exception\w*|warn\w*|"
    r"log\w*|assert\w*|fail\w*|perror)\b",
    re.IGNORECASE,
)
# An apostrophe behind a letter begins none.
_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"|(?<!\w)\'(?:[^\'\\\n]|\\.)*\'|`(?:[^`\\\n]|\\.)*`')
_COMMENT = re.compile(r"\s*(?://|/?\*)")
_ESCAPE = re.compile(r"\\(.)")
_WHITE = {"n": "\n", "r": "\r", "t": "\t"}


def pairs_of(document: Document) -> Iterator[Found]:
    """The first usable message of each function."""
    if document.kind != "python":
        yield from _of_other_languages(document)
        return
    for _, node, lines in python_definitions(document.text):
        if not isinstance(node, FunctionNode):
            continue
        for literal in _messages(node):
            query = message_as_query(_text_of(literal))
            code = source_without_message(literal, node, lines) if query is not None else None
            if query is not None and code is not None and _stands_for(query, code):
                yield Found(query, code)
                break


def _messages(function: FunctionNode) -> list[ast.Constant | ast.JoinedStr]:
    """Strings that are the first argument of an exception or a logging call, in the order of the source."""
    found = []
    for node in ast.walk(function):
        call = node.exc if isinstance(node, ast.Raise) else node if isinstance(node, ast.Call) else None
        told = isinstance(node, ast.Raise) or _logs(call)
        if told and (text := text_argument(call)) is not None:
            found.append(text)
    return sorted(found, key=lambda literal: (literal.lineno, literal.col_offset))


def _logs(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _LOGGING


def _text_of(literal: ast.Constant | ast.JoinedStr) -> str:
    if isinstance(literal, ast.Constant):
        return str(literal.value)
    return " ".join(str(part.value) for part in literal.values if isinstance(part, ast.Constant))


def _of_other_languages(document: Document) -> Iterator[Found]:
    starts = code_blocks(document.text, document.kind)
    for start, end in pairwise([*starts, len(document.text)] if starts else []):
        code = document.text[start:end].rstrip()
        for first, last in _told(code):
            query = message_as_query(_unescaped(code[first + 1 : last - 1]))
            masked = f'{code[:first]}"..."{code[last:]}'
            if query is not None and masked.count("\n") >= 2 and _stands_for(query, masked):
                yield Found(query, masked)
                break


def _told(code: str) -> Iterator[tuple[int, int]]:
    """Where the strings stand on lines that tell of something going wrong, or go on with such a call."""
    goes_on = False
    for line in re.finditer(r"(?m)^.*$", code):
        if _COMMENT.match(line[0]):
            continue
        tells = goes_on or _TELLS.search(line[0]) is not None
        goes_on = tells and line[0].rstrip().endswith(("(", ","))
        if tells:
            for string in _STRING.finditer(line[0]):
                yield line.start() + string.start(), line.start() + string.end()


def _unescaped(string: str) -> str:
    """What is printed, but for placeholders, all of which are as Python writes them."""
    return _ESCAPE.sub(lambda match: _WHITE.get(match[1], match[1]), string).replace("${", "{")


def _stands_for(query: str, masked: str) -> bool:
    """Whether the code shows where the message was, and not the message."""
    return squash(query) not in squash(masked) and '"..."' in shorten(masked)

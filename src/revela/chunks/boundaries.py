"""Where a text may be cut well, from its form alone: no tokenizer here.

A *hard* boundary begins something of its own (a function, a section): chunks do not run across it
without need. The *soft* ones are graded: a paragraph is a better place than a line, a line than a sentence.
"""

from __future__ import annotations

import ast
import re
import warnings
from bisect import bisect_right
from dataclasses import dataclass, field

from revela.chunks.languages import code_blocks
from revela.chunks.prose import markdown_code, rst_code, sentence_starts

PARAGRAPH, LINE, SENTENCE, WORD = 4, 3, 2, 1

# Python's own line ends; str.splitlines also breaks at form feeds and others, which would shift `lineno`.
_LINE_END = re.compile(r"\r\n|\r|\n")
_WORD_START = re.compile(r"(?<=\s)\S")
_MARKDOWN_HEADING = re.compile(r"#{1,6}\s")
_FENCE = re.compile(r"\s{0,3}(```|~~~)")
_RST_UNDERLINE = re.compile(r"([=\-~^\"'`#*+.:_])\1{2,}\s*$")


@dataclass(frozen=True)
class Boundaries:
    """Character positions in a text at which a chunk may begin.

    Attributes:
        hard: ascending positions of line starts.
        soft: position -> grade, the best one where several apply.
        whole: ascending, disjoint stretches (first character, one past the last) that are better not
            cut, such as blocks of code between paragraphs.
    """

    hard: list[int]
    soft: dict[int, int]
    whole: list[tuple[int, int]] = field(default_factory=list)


def find_boundaries(text: str, kind: str) -> Boundaries:
    """All good places to cut a text of a kind (``"python"``, ``"markdown"``, ``"rst"`` or any other)."""
    lines = _lines(text)
    find_hard = _HARD.get(kind, lambda text, lines: _code_starts(text, kind, lines))
    hard = sorted(find_hard(text, lines) - {0})
    find_whole = {"markdown": markdown_code, "rst": rst_code}.get(kind)
    whole = find_whole(text, lines) if find_whole else []
    soft = {match.start(): WORD for match in _WORD_START.finditer(text)}
    soft |= dict.fromkeys(sentence_starts(text), SENTENCE)
    blank_before = False
    for start, end in lines:
        blank = not text[start:end].strip()
        if not blank:
            soft[start] = PARAGRAPH if blank_before else LINE
        blank_before = blank
    return Boundaries(hard, soft, whole)


def _lines(text: str) -> list[tuple[int, int]]:
    """(start, end without the line end) of every line."""
    lines, start = [], 0
    for match in _LINE_END.finditer(text):
        lines.append((start, match.start()))
        start = match.end()
    lines.append((start, len(text)))
    return lines


def _code_starts(text: str, kind: str, lines: list[tuple[int, int]]) -> set[int]:
    """Starts of the lines on which functions and classes of other languages begin."""
    starts = [start for start, _ in lines]
    return {starts[bisect_right(starts, position) - 1] for position in code_blocks(text, kind)}


def _python_blocks(text: str, lines: list[tuple[int, int]]) -> set[int]:
    """Starts of functions, methods and classes, and of what follows them; empty if it is not Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in other people's code
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    first_lines: set[int] = set()
    _collect_blocks(tree.body, first_lines)
    return {lines[_with_comments(number - 1, text, lines)][0] for number in first_lines}


def _collect_blocks(body: list[ast.stmt], first_lines: set[int]) -> None:
    """Add the first line of every block in a module's or class's body, and in the `if`s and `try`s there."""
    after_block = False
    for statement in body:
        if is_block := isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            decorators = [decorator.lineno for decorator in statement.decorator_list]
            first_lines.add(min([statement.lineno, *decorators]))
        elif after_block:
            first_lines.add(statement.lineno)
        after_block = is_block
        if isinstance(statement, ast.ClassDef | ast.If | ast.Try):
            for part in ("body", "orelse", "finalbody"):
                _collect_blocks(getattr(statement, part, []), first_lines)


def _with_comments(index: int, text: str, lines: list[tuple[int, int]]) -> int:
    """Index of the first of the comment lines that stand directly above line `index`, or `index`."""
    while index > 0 and text[slice(*lines[index - 1])].lstrip().startswith("#"):
        index -= 1
    return index


def _markdown_headings(text: str, lines: list[tuple[int, int]]) -> set[int]:
    """Lines that start with ``#``, outside fenced code."""
    starts, fence = set(), None
    for start, end in lines:
        line = text[start:end]
        if mark := _FENCE.match(line):
            if fence is None:
                fence = mark.group(1)
            elif fence == mark.group(1):
                fence = None
        elif fence is None and _MARKDOWN_HEADING.match(line):
            starts.add(start)
    return starts


def _rst_headings(text: str, lines: list[tuple[int, int]]) -> set[int]:
    """Lines with an underline at least as long below them, from their overline where there is one."""
    starts = set()
    for index in range(1, len(lines)):
        title, underline = text[slice(*lines[index - 1])], text[slice(*lines[index])]
        if not _RST_UNDERLINE.match(underline) or not title.strip() or _RST_UNDERLINE.match(title):
            continue
        if len(underline.rstrip()) < len(title.rstrip()):
            continue
        overlined = index >= 2 and text[slice(*lines[index - 2])].rstrip() == underline.rstrip()
        starts.add(lines[index - 2 if overlined else index - 1][0])
    return starts


_HARD = {"python": _python_blocks, "markdown": _markdown_headings, "rst": _rst_headings}

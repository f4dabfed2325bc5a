"""Sentences, and the blocks of Markdown and reStructuredText that are better not cut."""

from __future__ import annotations

import re
from collections.abc import Iterator

Lines = list[tuple[int, int]]  # (start, end without the line end) of every line of a text
Spans = list[tuple[int, int]]  # (first character, one past the last), ascending and disjoint

_FENCE = re.compile(r"\s{0,3}(`{3,}|~{3,})")
_SENTENCE_END = re.compile(r"[.!?…]['\")\]]*\s+|[\u3002\uff01\uff1f]")  # the last three: CJK
# What may stand before a period that ends no sentence: initials (J., e.g., U.S.), a number of a list.
_INITIALS = re.compile(r"(?:^|[\s(\[\"'])(?:[A-Za-z]\.)*[A-Za-z]$")
_ITEM = re.compile(r"(?:^|[\r\n])\s*\(?\d+$")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\[\"'])(?:Dr|Mr|Mrs|Ms|Prof|St|Sr|Jr|Fig|Figs|Eq|Eqs|Sec|Vol|No|Nos|pp|eds?|cf|vs|viz|ca|"
    r"approx|resp|Lt|Gen|Rev|Sen|Rep|Gov|Jan|Feb|Apr|Aug|Sept?|Oct|Nov|Dec)$"
)
_LONGEST_BEFORE = 24  # characters that these patterns need to see

_LIST_ITEM = re.compile(r"\s*(?:[-*+]|\d+[.)])\s")
_RST_CODE = re.compile(r"\s*\.\. (?:code|code-block|sourcecode|parsed-literal|doctest|testcode)::")


def sentence_starts(text: str) -> Iterator[int]:
    """Positions behind the ends of sentences; a period after an abbreviation or initial ends none."""
    for match in _SENTENCE_END.finditer(text):
        end = match.end()
        if text[match.start()] == "." and _goes_on(text, match.start(), end):
            continue
        yield end


def _goes_on(text: str, period: int, after: int) -> bool:
    if text[after : after + 1].islower():
        return True
    before = text[max(0, period - _LONGEST_BEFORE) : period]
    return any(pattern.search(before) for pattern in (_INITIALS, _ITEM, _ABBREVIATION))


def markdown_code(text: str, lines: Lines) -> Spans:
    """Fenced blocks, and lines indented by four or more below a blank line outside lists."""
    found: Spans = []
    fence, first = "", 0
    last_text = ""  # the last line that is not blank, outside code
    index = 0
    while index < len(lines):
        line = text[slice(*lines[index])]
        mark = _FENCE.match(line)
        if fence:
            if mark and mark.group(1).startswith(fence) and not line.strip().strip(fence[0]):
                found.append((lines[first][0], _below(index, text, lines)))
                fence = ""
        elif mark:
            fence, first = mark.group(1), index
        elif (
            _indented(line) and not _is_in_list(last_text) and (index == 0 or _blank(index - 1, text, lines))
        ):
            last = _last_indented(index, text, lines, 4)
            found.append((lines[index][0], _below(last, text, lines)))
            index = last
        elif line.strip():
            last_text = line
        index += 1
    return found


def rst_code(text: str, lines: Lines) -> Spans:
    """Literal blocks below ``::``, code directives with their content, and doctest sessions."""
    found: Spans = []
    index = 0
    while index < len(lines):
        line = text[slice(*lines[index])]
        directive = _RST_CODE.match(line)
        if line.lstrip().startswith(">>> "):
            last = index
            while last + 1 < len(lines) and not _blank(last + 1, text, lines):
                last += 1
            first = index
        elif directive or (line.rstrip().endswith("::") and not line.lstrip().startswith("..")):
            below = index + 1
            while below < len(lines) and _blank(below, text, lines):
                below += 1
            last = _last_indented(below, text, lines, len(line) - len(line.lstrip()) + 1)
            first = index if directive else below
        else:
            index += 1
            continue
        if last >= first:
            found.append((lines[first][0], _below(last, text, lines)))
        index = max(last, index) + 1
    return found


def _last_indented(index: int, text: str, lines: Lines, width: int) -> int:
    """The last line of the block from `index` on whose lines are blank or indented by `width`; -1 if none."""
    last = -1
    while index < len(lines):
        line = text[slice(*lines[index])].expandtabs(4)
        if line.strip():
            if len(line) - len(line.lstrip()) < width:
                break
            last = index
        index += 1
    return last


def _indented(line: str) -> bool:
    return bool(line.strip()) and line.expandtabs(4).startswith("    ")


def _is_in_list(line: str) -> bool:
    return bool(_LIST_ITEM.match(line)) or line[:1] in (" ", "\t")


def _blank(index: int, text: str, lines: Lines) -> bool:
    return not text[slice(*lines[index])].strip()


def _below(index: int, text: str, lines: Lines) -> int:
    """Where the line below line `index` starts."""
    return lines[index + 1][0] if index + 1 < len(lines) else len(text)

"""Prose as sections below headings, and as passages of a length that an encoder reads."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter

from revela.chunks.prose import markdown_code, sentence_starts
from revela.corpus.schema import PROSE_KINDS, Document
from revela.pairs.pair import one_line, squash
from revela.words import tokens

PASSAGE_CHARACTERS = 1200
"""Of a passage: about 256 tokens of English, which is what small encoders are trained to read."""

_MARKDOWN = re.compile(r"^(#{1,6})\s+(.+?)\s*#*\s*$")
_UNDERLINE = re.compile(r"^([=\-~^\"'`#*+.:_])\1{2,}\s*$")
_DRAWN = r"([=\-~^\"'`#*+.:_])\%d{2,}[ \t]*\n"
_FIRST_LINE = re.compile(rf"(?:{_DRAWN % 1})?([^\n]*)\n(?:{_DRAWN % 3})?")
_BLANK = re.compile(r"\n[ \t]*\n")
_LOWER_END = re.compile(r"[^\W\d_]{2}[)\"']?\s?[.!?]\s+|[\u3002\uff01\uff1f]")
_SENTENCE_END = re.compile(r"[.!?:\"')\]\u3002]$")
_PLAIN_WORDS, _ENCYCLOPEDIA_WORDS, _BODY_WORDS = 10, 6, 15
_DEEPEST_PLAIN = 1


@dataclass(frozen=True)
class Section:
    """What stands below one heading, down to the next.

    Attributes:
        headings: from the outermost to its own; empty above the first heading.
        text: without the heading, white space around it left out; may be empty.
    """

    headings: tuple[str, ...]
    text: str


def title_of(document: Document) -> str:
    """The title where it is one in words; empty where it is a path, an id, or a single name."""
    title = one_line(document.title)
    # Files are titled by their path, which their id ends with.
    is_path = f"/{document.id}".endswith(f"/{title}") or ("/" in title and " " not in title)
    return "" if is_path or len(tokens(title)) < 2 else title


def body_of(document: Document) -> str:
    """The text without its title, where it begins with that."""
    return without_title(document.text, document.title)


def without_title(text: str, title: str) -> str:
    """The text without its first line where that is the title, and without the lines drawn around it."""
    text = text.lstrip()
    first = _FIRST_LINE.match(text)
    if first is None or not title.strip() or squash(first[2].lstrip("#")) != squash(title):
        return text
    return text[first.end() :].lstrip() or text


def sections(document: Document) -> Iterator[Section]:
    """The sections of a document of prose, in order; none of any other kind."""
    if document.kind not in PROSE_KINDS:
        return
    text = document.text
    heads = {"markdown": _markdown_heads, "rst": _rst_heads}.get(document.kind, _plain_heads)(text)
    above: list[tuple[int, str]] = []
    begin = 0
    headings: tuple[str, ...] = ()
    for start, end, depth, name in heads:
        yield Section(headings, text[begin:start].strip())
        while above and above[-1][0] >= depth:
            above.pop()
        above.append((depth, name))
        begin, headings = end, tuple(name for _, name in above)
    yield Section(headings, text[begin:].strip())


def passages(text: str) -> Iterator[str]:
    """Whole paragraphs, at most :data:`PASSAGE_CHARACTERS` together; longer ones cut between sentences."""
    waiting = ""
    for paragraph in _BLANK.split(text):
        for piece in _pieces(paragraph.strip()):
            if waiting and len(waiting) + len(piece) + 2 > PASSAGE_CHARACTERS:
                yield waiting
                waiting = ""
            waiting = f"{waiting}\n\n{piece}" if waiting else piece
    if waiting:
        yield waiting


def sentences(text: str) -> list[tuple[int, int]]:
    """First character, and one past the last, of every sentence."""
    # Where nothing is written in capitals, a small letter does not tell that a sentence goes on.
    small = text == text.lower() != text.upper()
    starts = (end.end() for end in _LOWER_END.finditer(text)) if small else sentence_starts(text)
    edges = [0, *starts, len(text)]
    return [(a, b) for a, b in pairwise(edges) if text[a:b].strip()]


def metadata_of(document: Document) -> dict[str, object]:
    """What else is known of the document."""
    found = json.loads(document.metadata)
    return found if isinstance(found, dict) else {}


def _pieces(paragraph: str) -> Iterator[str]:
    if len(paragraph) <= PASSAGE_CHARACTERS:
        if paragraph:
            yield paragraph
        return
    piece_start = end = 0
    for start, stop in sentences(paragraph):
        if stop - piece_start > PASSAGE_CHARACTERS and end > piece_start:
            yield paragraph[piece_start:end].strip()
            piece_start = start
        end = stop
    if paragraph[piece_start:].strip():
        yield paragraph[piece_start:].strip()


Head = tuple[int, int, int, str]
"""(where it starts, where what follows starts, depth from 1, its text)"""


def _lines(text: str) -> list[tuple[int, int]]:
    found, start = [], 0
    for line in text.splitlines(keepends=True):
        found.append((start, start + len(line)))
        start += len(line)
    return found


def _markdown_heads(text: str) -> list[Head]:
    lines = _lines(text)
    code = markdown_code(text, lines)
    found = []
    for start, end in lines:
        match = _MARKDOWN.match(text[start:end].rstrip())
        block = bisect_right(code, start, key=itemgetter(0)) - 1
        if match and not (block >= 0 and start < code[block][1]):
            found.append((start, end, len(match[1]), one_line(match[2])))
    return found


def _rst_heads(text: str) -> list[Head]:
    lines = _lines(text)
    depths: dict[tuple[str, bool], int] = {}
    found = []
    for index in range(1, len(lines)):
        title, underline = (text[slice(*line)].rstrip() for line in lines[index - 1 : index + 1])
        mark = _UNDERLINE.match(underline)
        if not mark or not title.strip() or _UNDERLINE.match(title) or len(underline) < len(title):
            continue
        over = index >= 2 and text[slice(*lines[index - 2])].rstrip() == underline
        depth = depths.setdefault((mark[1], over), len(depths) + 1)
        found.append((lines[index - 2 if over else index - 1][0], lines[index][1], depth, one_line(title)))
    return found


def _plain_heads(text: str) -> list[Head]:
    """Short lines without a sentence's end above a paragraph; or one to six words and a period between whole
    paragraphs, as encyclopedias come out of dumps.
    """
    lines = _lines(text)
    found = []
    for index, (start, end) in enumerate(lines[:-1]):
        line = text[start:end].strip()
        words = len(line.split())
        if not words or words > _PLAIN_WORDS or not line[0].isupper():
            continue
        before = text[slice(*lines[index - 1])].strip() if index else ""
        next_line = text[slice(*lines[index + 1])].strip()
        below = next_line or _first_below(text, lines, index + 2)
        long_below = len(below.split()) >= _BODY_WORDS or (
            len(below.split()) >= _PLAIN_WORDS // 2 and below[-1:].isalnum()
        )
        if not long_below or not below[0].isalnum():
            continue
        bare = (line[-1].isalnum() or line[-1] in ")?") and not before and not _wrapped(line, next_line)
        listed = (
            line[-1] == "."
            and words <= _ENCYCLOPEDIA_WORDS
            and len(before.split()) >= _BODY_WORDS
            and _SENTENCE_END.search(before) is not None
        )
        if bare or listed:
            found.append((start, end, _DEEPEST_PLAIN, line.rstrip(".")))
    return found


def _first_below(text: str, lines: list[tuple[int, int]], index: int) -> str:
    """The first line from `index` on that is not blank; empty where none is."""
    while index < len(lines):
        if line := text[slice(*lines[index])].strip():
            return line
        index += 1
    return ""


def _wrapped(line: str, below: str) -> bool:
    """Whether `below` goes on with the line: its first word had no room there, in lines as long as itself."""
    first, _, _ = below.partition(" ")
    return bool(first) and len(line) + 1 + len(first) > len(below)

"""Licence and copyright comments at the top of a source file say nothing about the code below."""

from __future__ import annotations

import re

from revela.corpus.filters.base import Cleaner
from revela.corpus.filters.licences import COPYRIGHT_LINE, LICENCE_PHRASE
from revela.corpus.schema import PROSE_KINDS, Document

_HASH = [
    "python",
    "py",
    "rb",
    "ruby",
    "sh",
    "bash",
    "zsh",
    "pl",
    "pm",
    "r",
    "jl",
    "yaml",
    "yml",
    "toml",
    "cmake",
    "tcl",
    "mk",
    "ex",
    "exs",
    "nim",
    "coffee",
]
_SLASH = [
    "c",
    "h",
    "cc",
    "cpp",
    "cxx",
    "hpp",
    "hh",
    "cs",
    "java",
    "js",
    "jsx",
    "mjs",
    "cjs",
    "ts",
    "tsx",
    "go",
    "rs",
    "swift",
    "kt",
    "kts",
    "scala",
    "php",
    "dart",
    "m",
    "mm",
    "css",
    "scss",
    "less",
    "javascript",
    "typescript",
    "rust",
    "proto",
    "groovy",
    "zig",
]
_DASH = ["sql", "lua", "hs", "haskell", "elm", "adb", "ads", "vhd", "vhdl"]
_MARKERS = {
    **dict.fromkeys(_HASH, re.compile(r"#(?!!)+")),
    **dict.fromkeys(_SLASH, re.compile(r"//+|/\*+|\*+/?")),
    **dict.fromkeys(_DASH, re.compile(r"--+")),
}
# They must stay where they are: the interpreter's line and the encoding's (PEP 263).
_KEPT_LINE = re.compile(r"#!|#.*?coding[:=]|<\?php")
_FARTHEST = 200  # lines; the longest notices in use have about 40


class LicenceHeader(Cleaner):
    """Removes paragraphs of licences and copyrights from the comment at the top of a source file.

    The comment runs to the first line that is neither comment nor blank. Between blank comment lines it
    has paragraphs; those from the first that sounds like a licence to the last are removed, others
    stay. Kinds whose comments are not known here, and prose, are left alone.
    """

    name = "licence_header"

    def __call__(self, document: Document) -> tuple[str, int]:
        marker = _MARKERS.get(document.kind)
        if marker is None or document.kind in PROSE_KINDS:
            return document.text, 0
        beginning = document.text[:20_000]
        if not re.search(r"copyright|licen[cs]e|warrant|permission", beginning, re.IGNORECASE):
            return document.text, 0
        lines = document.text.splitlines(keepends=True)
        header = _comment_at_the_top(lines, marker)
        kept, removed = _without_licences(lines[: len(header)], header)
        return ("".join(kept + lines[len(header) :]), 1) if removed else (document.text, 0)


def _comment_at_the_top(lines: list[str], marker: re.Pattern[str]) -> list[str | None]:
    """What each line of the comment at the top says; "" for nothing, None for a line that must stay."""
    contents: list[str | None] = []
    in_block = False
    for line in lines[:_FARTHEST]:
        stripped = line.strip()
        if _KEPT_LINE.match(stripped) and len(contents) < 3:
            contents.append(None)
            continue
        found = marker.match(stripped)
        if stripped and not found and not in_block:
            break
        if found and found.group().startswith("/*"):
            in_block = True
        closes = in_block and "*/" in stripped
        if closes and not stripped.endswith("*/"):
            break  # code behind the comment on one line
        content = stripped[found.end() :] if found else stripped
        contents.append(content.removesuffix("*/").strip(" \t*#/-=~"))
        in_block = in_block and not closes
    # A block that does not end within reach cannot be cut.
    return [] if in_block else contents


def _without_licences(lines: list[str], contents: list[str | None]) -> tuple[list[str], bool]:
    """(lines without the licence, whether any was removed)."""
    paragraphs = _paragraphs(contents)
    sounding = [number for number, rows in enumerate(paragraphs) if _is_licence(contents, rows)]
    if not sounding:
        return lines, False
    removed = {row for rows in paragraphs[sounding[0] : sounding[-1] + 1] for row in rows}
    rest = [row for rows in paragraphs for row in rows if row not in removed]
    if not rest:
        removed = {row for row, content in enumerate(contents) if content is not None}
        return [line for row, line in enumerate(lines) if row not in removed], True
    # Blank comment lines between removed paragraphs go with them.
    first, last = min(removed), max(removed)
    removed |= {row for row in range(first, last + 1) if contents[row] == "" and not _delimits(lines[row])}
    kept = []
    for row, line in enumerate(lines):
        if row not in removed:
            kept.append(line)
        elif _delimits(line):
            kept.append(_delimiters(line))
    return kept, True


def _paragraphs(contents: list[str | None]) -> list[list[int]]:
    """Numbers of the lines of each run of lines that say something."""
    found: list[list[int]] = [[]]
    for row, content in enumerate(contents):
        if content:
            found[-1].append(row)
        elif found[-1]:
            found.append([])
    return [rows for rows in found if rows]


def _is_licence(contents: list[str | None], rows: list[int]) -> bool:
    said = [contents[row] or "" for row in rows]
    return any(map(COPYRIGHT_LINE.match, said)) or LICENCE_PHRASE.search(" ".join(said)) is not None


def _delimits(line: str) -> bool:
    return ("/*" in line) != ("*/" in line)


def _delimiters(line: str) -> str:
    """The line with nothing left but the beginning or the end of its comment."""
    end = line[len(line.rstrip("\r\n")) :]
    return ("/*" if "/*" in line else " */") + end

"""Caption or alternative text of a figure or table -> the paragraphs around it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from revela.corpus.schema import Document
from revela.pairs.pair import Found, one_line
from revela.pairs.sections import PASSAGE_CHARACTERS

_MARKDOWN = re.compile(
    r'!\[([^\[\]\n]+)\]\([^()\s]*(?:\s+"([^"\n]*)")?\)'
    r'|<img\b[^<>]{0,500}?\balt="([^"<>\n]{1,500})"[^<>]{0,500}>'
)
_RST = re.compile(
    r"(?m)^\.\. (figure|image|table|list-table|csv-table|code-block)::[ \t]*([^\n]*)(?:\n|\Z)"
    r"((?:[ \t]+[^\n]*(?:\n|\Z)|\n(?=[ \t]))*)"
)
_RST_ALT = re.compile(r"(?m)^[ \t]+:(?:alt|caption):[ \t]*(\S[^\n]*)$")
_BLANK = re.compile(r"\n[ \t]*\n")
_AROUND = 2 * PASSAGE_CHARACTERS


def pairs_of(document: Document) -> Iterator[Found]:
    """The text of every figure in Markdown and reStructuredText -> the paragraph before and the one after."""
    text = document.text
    if document.kind == "markdown":
        for match in _MARKDOWN.finditer(text):
            yield from _around(text, match.span(), match[2] or match[1] or match[3])
    elif document.kind == "rst":
        for match in _RST.finditer(text):
            said = _RST_ALT.search(match[3])
            caption = said[1] if said else _rst_caption(match)
            if caption:
                yield from _around(text, match.span(), caption)


def _rst_caption(match: re.Match[str]) -> str:
    """The first paragraph below the options of a figure; what stands behind the colons of a table."""
    if match[1] == "figure":
        paragraphs = [one_line(part) for part in _BLANK.split(match[3]) if part.strip()]
        return next((part for part in paragraphs if not part.startswith(":")), "")
    return match[2] if match[1].endswith("table") else ""


def _around(text: str, span: tuple[int, int], caption: str) -> Iterator[Found]:
    # A window: a long text may hold thousands of figures.
    before = [part for part in _BLANK.split(text[max(0, span[0] - _AROUND) : span[0]]) if part.strip()][-1:]
    after = [part for part in _BLANK.split(text[span[1] : span[1] + _AROUND]) if part.strip()][:1]
    around = "\n\n".join(part.strip() for part in [*before, *after])[:PASSAGE_CHARACTERS]
    if around:
        yield Found(one_line(caption), around)

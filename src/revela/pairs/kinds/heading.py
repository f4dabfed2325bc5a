"""Heading, with those above it -> the section; a question of an FAQ -> its answer."""

from __future__ import annotations

from collections.abc import Iterator

from revela.corpus.schema import Document
from revela.pairs.pair import Found, one_line, squash
from revela.pairs.sections import passages, sections, title_of

MOST_HEADINGS = 3


def pairs_of(document: Document) -> Iterator[Found]:
    """Title of the document and headings, outermost first, colons between -> the section's first passage."""
    title = title_of(document)
    for section in sections(document):
        first = next(passages(section.text), None)
        if not section.headings or first is None:
            continue
        own = section.headings[-1]
        if own.endswith(("?", "\uff1f")):
            yield Found(one_line(own), first)
            continue
        path = [
            *([title] if title and squash(title) != squash(section.headings[0]) else []),
            *section.headings,
        ]
        yield Found(": ".join(path[-MOST_HEADINGS:]), first)

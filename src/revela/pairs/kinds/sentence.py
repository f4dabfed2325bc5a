"""First sentence -> what follows it, below the document's title as an index holds it."""

from __future__ import annotations

from collections.abc import Iterator

from revela.chunks.chunk import with_title
from revela.corpus.schema import Document
from revela.pairs.pair import Found, one_line
from revela.pairs.sections import passages, sections, sentences, title_of, without_title


def pairs_of(document: Document) -> Iterator[Found]:
    """The first sentence of each passage of three sentences and more -> the others."""
    title = title_of(document)
    for passage in prose(document):
        found = sentences(passage)
        if len(found) >= 3:
            yield Found(one_line(passage[: found[0][1]]), with_title(title, passage[found[0][1] :].strip()))


def prose(document: Document) -> Iterator[str]:
    """The passages of a document of prose, the first without the title."""
    for number, section in enumerate(sections(document)):
        yield from passages(section.text if number else without_title(section.text, document.title))

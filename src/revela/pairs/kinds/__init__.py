"""Which texts stand for which: one kind of pair a file.

Each has ``pairs_of(document)``: a document in, what the rule finds out, in the order of the text. A new kind
is one new module and one line in :data:`KINDS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from revela.corpus.schema import Document
from revela.pairs.kinds import (
    answer,
    caption,
    cloze,
    definition,
    docstring,
    halves,
    heading,
    link,
    message,
    sentence,
    title,
)
from revela.pairs.pair import Found

KINDS: dict[str, Callable[[Document], Iterator[Found]]] = {
    "docstring": docstring.pairs_of,
    "definition": definition.pairs_of,
    "message": message.pairs_of,
    "title": title.pairs_of,
    "heading": heading.pairs_of,
    "answer": answer.pairs_of,
    "link": link.pairs_of,
    "caption": caption.pairs_of,
    "sentence": sentence.pairs_of,
    "cloze": cloze.pairs_of,
    "halves": halves.pairs_of,
}

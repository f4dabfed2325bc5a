"""First third of a passage, or a query's length -> the rest; the weakest teacher (docs/experiments.md)."""

from __future__ import annotations

from collections.abc import Iterator

from revela.chunks.chunk import with_title
from revela.corpus.schema import Document
from revela.pairs.pair import LONGEST_QUERY, Found, one_line
from revela.pairs.sections import body_of, passages, title_of
from revela.words import tokens

_FEWEST_WORDS = 24
_SHARE = 3
"""The first of so many parts is the query; the paper's half is longer than what people type."""


def pairs_of(document: Document) -> Iterator[Found]:
    """Every passage of 24 words and more, cut between words."""
    title = title_of(document)
    for passage in passages(body_of(document)):
        words = tokens(passage)
        if len(words) >= _FEWEST_WORDS:
            cut = 0
            for word in words[: min(len(words) // _SHARE, LONGEST_QUERY)]:
                cut = passage.index(word, cut) + len(word)
            yield Found(one_line(passage[:cut]), with_title(title, passage[cut:].lstrip()))

"""A sentence -> the passage that it was taken out of, below its title.

The inverse cloze task of Lee et al. (ACL 2019, arXiv 1906.00300). What a claim or a question is to the text
that supports it, one of its own sentences is nearly.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from revela.chunks.chunk import with_title
from revela.corpus.schema import Document
from revela.pairs.kinds.sentence import prose
from revela.pairs.pair import Found, one_line
from revela.pairs.sections import sentences, title_of
from revela.words import tokens

_FEWEST_WORDS = 6


def pairs_of(document: Document) -> Iterator[Found]:
    """One sentence of each passage of four and more, any but the first, drawn by the text itself."""
    title = title_of(document)
    for passage in prose(document):
        found = sentences(passage)
        usable = [span for span in found[1:] if _is_usable(passage[slice(*span)], passage)]
        if len(found) < 4 or not usable:
            continue
        draw = hashlib.blake2b(passage.encode("utf-8", "surrogatepass"), digest_size=4).digest()
        start, end = usable[int.from_bytes(draw) % len(usable)]
        rest = f"{passage[:start].rstrip()} {passage[end:].lstrip()}".strip()
        yield Found(one_line(passage[start:end]), with_title(title, rest))


def _is_usable(sentence: str, passage: str) -> bool:
    """Whether it says something, and once."""
    return len(tokens(sentence)) >= _FEWEST_WORDS and passage.count(sentence.strip()) == 1

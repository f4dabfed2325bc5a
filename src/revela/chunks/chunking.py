"""Cut documents into chunks of a bounded number of the retriever's tokens.

A document is encoded once; the offsets of its tokens tell what any stretch costs. Stretches are
chosen at good boundaries, then every chunk is encoded alone, because a tokenizer may see its edges
differently, and cut again where that gives more tokens than allowed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from tokenizers import Encoding, Tokenizer

from revela.chunks.boundaries import find_boundaries
from revela.chunks.chunk import Chunk, chunk_id, with_title
from revela.chunks.cutting import Cutter
from revela.chunks.query_split import query_end
from revela.chunks.ruler import Ruler, Span, trimmed
from revela.corpus.schema import Document

_DOCUMENTS_AT_ONCE = 64

TITLE_SHARE = 0.25
"""Of a chunk's tokens that its title may take."""

_LAST_WORD = re.compile(r"\s*\S*$")


@dataclass(frozen=True)
class _Title:
    """What the retriever reads before a document's passages, and its tokens with the line end."""

    text: str
    tokens: int


class Chunker:
    """Turns documents into chunks and counts what it had to leave out.

    `dropped` counts chunks by reason: ``short_chunk`` (below `min_tokens`, and neither neighbour had
    room for it), ``no_query_split`` (no token boundary with visible text on both sides) and
    ``no_safe_cut`` (no place to cut a stretch that is too long without cutting a character).
    `titles_cut` counts documents whose title is longer than :data:`TITLE_SHARE` of a chunk allows.

    Args:
        tokenizer: the retriever's.
        max_tokens: bound for every chunk's own tokens, without special tokens, below its title.
        min_tokens: chunks below are merged with a neighbour or dropped; a title does not count.
        query_ratio: share of the tokens that goes into the query.
        overlap_tokens: tokens of the document at most that a chunk repeats of the one before it.
        titles: leave room for the document's title before every passage.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        max_tokens: int,
        min_tokens: int,
        query_ratio: float,
        overlap_tokens: int = 0,
        titles: bool = False,
    ) -> None:
        self.tokenizer = tokenizer
        self.max_tokens = max_tokens
        self.min_tokens = min_tokens
        self.query_ratio = query_ratio
        self.overlap_tokens = overlap_tokens
        self.titles = titles
        self.dropped: Counter[str] = Counter()
        self.titles_cut = 0

    def chunks(self, documents: Iterable[Document]) -> Iterator[tuple[Document, list[Chunk]]]:
        """Every document with its chunks, in order; a document may have none."""
        documents = iter(documents)
        while batch := list(islice(documents, _DOCUMENTS_AT_ONCE)):
            titles = [self._title(document) for document in batch]
            encodings = self._encode([document.text for document in batch])
            spans = [self._spans(*each) for each in zip(batch, titles, encodings, strict=True)]
            # One call for all chunks of the batch: the library encodes them in parallel.
            texts = [d.text[start:end] for d, of in zip(batch, spans, strict=True) for start, end in of]
            alone = iter(self._encode(texts))
            for document, title, of_document in zip(batch, titles, spans, strict=True):
                own = list(islice(alone, len(of_document)))
                fitted = self._fit(document.text, title, of_document, own)
                yield document, self._build(document, title, fitted)

    def _encode(self, texts: list[str]) -> list[Encoding]:
        return self.tokenizer.encode_batch(texts, add_special_tokens=False)

    def _title(self, document: Document) -> _Title:
        """The document's title, cut between words to its share of a chunk."""
        # One line: what follows the first line end of a passage is its text.
        whole = " ".join(document.title.split()) if self.titles else ""
        title = whole
        while title:
            tokens = len(self._encode([with_title(title, "")])[0])
            if tokens <= self.max_tokens * TITLE_SHARE:
                break
            title = _LAST_WORD.sub("", title)
        self.titles_cut += title != whole
        return _Title(title, tokens if title else 0)

    def _cutter(self, title: _Title, most: int) -> Cutter:
        room = min(self.max_tokens - title.tokens, most)
        return Cutter(room, min(self.min_tokens, room), min(self.overlap_tokens, room // 2))

    def _spans(self, document: Document, title: _Title, encoding: Encoding) -> list[Span]:
        """Where the chunks lie, by the tokens of the whole document; blank edges left out."""
        if not encoding.offsets:
            return []
        ruler = Ruler(encoding.offsets, len(document.text))
        boundaries = find_boundaries(document.text, document.kind)
        spans = self._cutter(title, self.max_tokens).spans(boundaries, ruler)
        return [span for raw in spans if (span := trimmed(document.text, raw)) is not None]

    def _fit(
        self, text: str, title: _Title, spans: list[Span], encodings: list[Encoding]
    ) -> Iterator[tuple[Span, Encoding]]:
        """Every span with its own encoding, cut again where that has more tokens than allowed."""
        for (start, end), encoding in zip(spans, encodings, strict=True):
            piece = text[start:end]
            excess = self._excess(title, piece, encoding)
            if excess <= 0:
                yield (start, end), encoding
                continue
            ruler = Ruler(encoding.offsets, len(piece))
            halves = self._cutter(title, len(encoding) - excess).spans(find_boundaries(piece, "text"), ruler)
            if len(halves) == 1:
                self.dropped["no_safe_cut"] += 1
                continue
            moved = [(start + low, start + high) for low, high in halves]
            again = [span for half in moved if (span := trimmed(text, half)) is not None]
            yield from self._fit(text, title, again, self._encode([text[low:high] for low, high in again]))

    def _excess(self, title: _Title, piece: str, encoding: Encoding) -> int:
        """Tokens of a passage above what is allowed; the text alone is `encoding`."""
        if not title.text:
            return len(encoding) - self.max_tokens
        # Not the sum of both: a tokenizer may see the edge between title and text differently.
        passage = len(self._encode([with_title(title.text, piece)])[0])
        return max(passage - self.max_tokens, len(encoding) + title.tokens - self.max_tokens)

    def _build(
        self, document: Document, title: _Title, fitted: Iterator[tuple[Span, Encoding]]
    ) -> list[Chunk]:
        chunks: list[Chunk] = []
        measured = _Bytes(document.text)
        for (start, end), encoding in fitted:
            if len(encoding) < self.min_tokens:
                self.dropped["short_chunk"] += 1
                continue
            text = document.text[start:end]
            split = query_end(text, encoding.offsets, self.query_ratio)
            if split is None:
                self.dropped["no_query_split"] += 1
                continue
            start_byte, end_byte = measured.before(start), measured.before(end)
            chunks.append(
                Chunk(
                    chunk_id=chunk_id(document.id, start_byte, end_byte),
                    document_id=document.id,
                    title=document.title,
                    source=document.source,
                    kind=document.kind,
                    text=text,
                    query_end=split,
                    tokens=len(encoding),
                    start=start,
                    end=end,
                    start_byte=start_byte,
                    end_byte=end_byte,
                    passage_title=title.text,
                )
            )
        return chunks


class _Bytes:
    """Counts the UTF-8 bytes before a position of a text; cheap when positions mostly ascend."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._ascii = text.isascii()
        self._position = self._bytes = 0

    def before(self, position: int) -> int:
        if self._ascii:
            return position
        if position >= self._position:
            self._bytes += len(self._text[self._position : position].encode())
        else:
            self._bytes -= len(self._text[position : self._position].encode())
        self._position = position
        return self._bytes

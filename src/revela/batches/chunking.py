"""Cut documents into chunks of a bounded number of the retriever's tokens.

A document is encoded once; the offsets of its tokens tell what any stretch costs. Stretches are
chosen at good boundaries, then every chunk is encoded alone, because a tokenizer may see its edges
differently, and cut again where that gives more tokens than allowed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
from tokenizers import Encoding, Tokenizer

from revela.batches.boundaries import PARAGRAPH, find_boundaries
from revela.batches.query_split import query_end
from revela.batches.schema import Chunk
from revela.corpus.schema import Document
from revela.errors import RevelaError

_DOCUMENTS_AT_ONCE = 64

Span = tuple[int, int]  # first character, one past the last
Fitted = tuple[Span, Encoding]


def load_tokenizer(folder: Path) -> Tokenizer:
    """The fast tokenizer of a saved backbone, without truncation or padding.

    Raises:
        RevelaError: there is no readable ``tokenizer.json`` in `folder`.
    """
    path = Path(folder) / "tokenizer.json"
    if not path.is_file():
        raise RevelaError(f"{path}: no such file. Run the stage prepare_backbone first.")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as fault:  # the library raises plain Exception
        raise RevelaError(f"{path}: not a tokenizer: {fault}") from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


class Chunker:
    """Turns documents into chunks and counts what it had to leave out.

    `dropped` counts chunks by reason: ``short_chunk`` (below `min_tokens`, and neither neighbour had
    room for it), ``no_query_split`` (no token boundary with visible text on both sides) and
    ``no_safe_cut`` (no place to cut a stretch that is too long without cutting a character).

    Args:
        tokenizer: the retriever's.
        max_tokens: bound for every chunk's own tokens, without special tokens.
        min_tokens: chunks below are merged with a neighbour or dropped.
        query_ratio: share of the tokens that goes into the query.
    """

    def __init__(self, tokenizer: Tokenizer, max_tokens: int, min_tokens: int, query_ratio: float) -> None:
        self.tokenizer = tokenizer
        self.max_tokens = max_tokens
        self.min_tokens = min_tokens
        self.query_ratio = query_ratio
        self.dropped: Counter[str] = Counter()

    def chunks(self, documents: Iterable[Document]) -> Iterator[tuple[Document, list[Chunk]]]:
        """Every document with its chunks, in order; a document may have none."""
        documents = iter(documents)
        while batch := list(islice(documents, _DOCUMENTS_AT_ONCE)):
            encodings = self._encode([document.text for document in batch])
            spans = [
                self._spans(document, encoding) for document, encoding in zip(batch, encodings, strict=True)
            ]
            # One call for all chunks of the batch: the library encodes them in parallel.
            texts = [d.text[start:end] for d, of in zip(batch, spans, strict=True) for start, end in of]
            alone = iter(self._encode(texts))
            for document, of_document in zip(batch, spans, strict=True):
                own = list(islice(alone, len(of_document)))
                yield document, self._build(document, self._fit(document.text, of_document, own))

    def _encode(self, texts: list[str]) -> list[Encoding]:
        return self.tokenizer.encode_batch(texts, add_special_tokens=False)

    def _spans(self, document: Document, encoding: Encoding) -> list[Span]:
        """Where the chunks lie, by the tokens of the whole document; blank edges left out."""
        if not encoding.offsets:
            return []
        ruler = Ruler(encoding.offsets, len(document.text))
        boundaries = find_boundaries(document.text, document.kind)
        spans = []
        for block in self._blocks(boundaries.hard, ruler):
            spans.extend(self._split(block, boundaries.soft, ruler))
        return [trimmed for span in spans if (trimmed := _trim(document.text, span)) is not None]

    def _blocks(self, hard: list[int], ruler: Ruler) -> list[Span]:
        """Stretches between hard boundaries, small ones packed with a neighbour.

        A small block goes with the next one (a class line with its first method) where both fit, or
        where the next one is too long and cut anyway; else with the one before where both fit.
        """
        forward: list[Span] = []
        for start, end in pairwise([0, *hard, ruler.end]):
            if forward and ruler.tokens(*forward[-1]) < self.min_tokens:
                first = forward[-1][0]
                if ruler.tokens(first, end) <= self.max_tokens or ruler.tokens(start, end) > self.max_tokens:
                    forward[-1] = (first, end)
                    continue
            forward.append((start, end))
        blocks: list[Span] = []
        for start, end in forward:
            small = ruler.tokens(start, end) < self.min_tokens
            if small and blocks and ruler.tokens(blocks[-1][0], end) <= self.max_tokens:
                blocks[-1] = (blocks[-1][0], end)
            else:
                blocks.append((start, end))
        return blocks

    def _split(self, block: Span, soft: dict[int, int], ruler: Ruler) -> list[Span]:
        """Cut a block that is too long at the best graded boundary of each window."""
        start, end = block
        spans = []
        while (left := ruler.tokens(start, end)) > self.max_tokens:
            lowest = max(self.min_tokens, self.max_tokens // 2)
            # Leave enough for the last chunk to stand alone.
            highest = max(lowest, min(self.max_tokens, left - self.min_tokens))
            first = ruler.token_at(start)
            best = None
            for token in range(first + highest, first + lowest - 1, -1):
                position = ruler.cut_before(token)
                if position is None or not start < position < end:
                    continue
                grade = soft.get(position, 0)
                # A tokenizer may glue a line end or space to the next word: look behind it as well.
                for near in ruler.inside(token):
                    if (near_grade := soft.get(near, 0)) > grade:
                        grade, position = near_grade, near
                if best is None or grade > best[0]:
                    best = (grade, position)
                if grade == PARAGRAPH:
                    break  # there is none better
            if best is None:
                break  # no place that leaves characters whole
            spans.append((start, best[1]))
            start = best[1]
        return [*spans, (start, end)]

    def _fit(self, text: str, spans: list[Span], encodings: list[Encoding]) -> Iterator[Fitted]:
        """Every span with its own encoding, cut again where that has more than `max_tokens` tokens."""
        for (start, end), encoding in zip(spans, encodings, strict=True):
            if len(encoding) <= self.max_tokens:
                yield (start, end), encoding
                continue
            piece = text[start:end]
            ruler = Ruler(encoding.offsets, len(piece))
            halves = self._split((0, len(piece)), find_boundaries(piece, "text").soft, ruler)
            if len(halves) == 1:
                self.dropped["no_safe_cut"] += 1
                continue
            moved = [(start + low, start + high) for low, high in halves]
            trimmed = [span for half in moved if (span := _trim(text, half)) is not None]
            again = self._encode([text[low:high] for low, high in trimmed])
            yield from self._fit(text, trimmed, again)

    def _build(self, document: Document, fitted: Iterator[Fitted]) -> list[Chunk]:
        chunks: list[Chunk] = []
        for (start, end), encoding in fitted:
            if len(encoding) < self.min_tokens:
                self.dropped["short_chunk"] += 1
                continue
            text = document.text[start:end]
            split = query_end(text, encoding.offsets, self.query_ratio)
            if split is None:
                self.dropped["no_query_split"] += 1
                continue
            chunks.append(
                Chunk(
                    chunk_id=f"{document.id}#{len(chunks)}",
                    document_id=document.id,
                    title=document.title,
                    source=document.source,
                    kind=document.kind,
                    text=text,
                    query_end=split,
                    tokens=len(encoding),
                    start=start,
                    end=end,
                )
            )
        return chunks


class Ruler:
    """Measures stretches of a text in tokens, from the offsets of the whole text's tokens."""

    def __init__(self, offsets: list[Span], end: int) -> None:
        self._starts = np.array([start for start, _ in offsets], np.int64)
        self._ends = np.array([end for _, end in offsets], np.int64)
        self.end = end

    def token_at(self, position: int) -> int:
        """Index of the first token that begins at `position` or after."""
        return int(np.searchsorted(self._starts, position))

    def tokens(self, start: int, end: int) -> int:
        """Number of tokens that begin in [start, end)."""
        return self.token_at(end) - self.token_at(start)

    def cut_before(self, token: int) -> int | None:
        """Where the text can be cut before a token; None inside a character of several tokens."""
        if not 0 < token < len(self._starts):
            return None
        if self._ends[token - 1] > self._starts[token]:
            return None
        return int(self._ends[token - 1])

    def inside(self, token: int) -> range:
        """Positions strictly inside a token."""
        return range(int(self._starts[token]) + 1, int(self._ends[token]))


def _trim(text: str, span: Span) -> Span | None:
    """Without blank lines at either edge; None if nothing visible is left. Indentation stays."""
    start, end = span
    body = text[start:end]
    visible = body.strip()
    if not visible:
        return None
    end = start + len(body.rstrip())
    lead = len(body) - len(body.lstrip())
    line_start = max(body.rfind("\n", 0, lead), body.rfind("\r", 0, lead)) + 1
    return start + line_start, end

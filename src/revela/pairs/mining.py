"""Documents -> pairs: every rule on every document, repeats and benchmarks' queries left out."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from heapq import heappush, heappushpop
from itertools import count, islice
from pathlib import Path

from revela.corpus.pipeline import read_documents
from revela.corpus.schema import Document
from revela.pairs.generated import GENERATED, Generated
from revela.pairs.held_out import is_held_out
from revela.pairs.kinds import KINDS
from revela.pairs.pair import (
    LONGEST_QUERY,
    SHORTEST_PASSAGE,
    SHORTEST_QUERY,
    Found,
    Pair,
    one_line,
    shorten,
    squash,
)
from revela.pairs.sections import body_of, passages
from revela.processes import cores, in_order
from revela.progress import track
from revela.settings import PairsSettings
from revela.words import subwords, tokens

_DOCUMENTS_AT_ONCE = 32

REASONS = {
    "short_query": f"fewer than {SHORTEST_QUERY} words of query",
    "long_query": f"more than {LONGEST_QUERY} words of query",
    "short_passage": f"fewer than {SHORTEST_PASSAGE} words of passage",
    "benchmark_query": "the query of a benchmark",
    "repeated_query": "an earlier pair of its kind has the same query",
    "repeated_passage": "an earlier pair of its kind has the same passage",
    "document_limit": "its document gives no more of its kind: `batches.pairs.max_per_document`",
    "no_target": "it points to no document of the corpus",
    "held_apart": "of the two documents that it joins, one is held out and one is not",
    "no_question": "the language model wrote nothing",
    "not_found_again": "its passage is not among the first that the question finds: "
    "`batches.pairs.generated.found_within`",
    "pair_limit": "not drawn: `batches.pairs.max_pairs`",
}
"""Why a pair is left out; what `dropped` counts."""


@dataclass
class Mined:
    """What the rules found in a corpus.

    Attributes:
        pairs: kind -> pairs, in an order that depends on their texts alone.
        dropped: reason (:data:`REASONS`) -> kind -> pairs left out.
        documents: how many there were.
    """

    pairs: dict[str, list[Pair]]
    dropped: dict[str, Counter[str]] = field(default_factory=dict)
    documents: int = 0


def mine(
    documents_dir: Path,
    settings: PairsSettings,
    seed: int,
    protected: Iterable[str] = (),
    workers: int | None = None,
    generated: Generated | None = None,
) -> Mined:
    """All pairs of the kinds that are asked for; the same whatever the number of processes.

    Args:
        documents_dir: what ``filter_corpus`` wrote.
        protected: queries of benchmarks; pairs with the same words as query are left out.
        workers: processes; None is one a core.
        generated: pairs that a language model wrote, which go through the same.

    Raises:
        RevelaError: no corpus, or a process that was killed.
    """
    wanted = tuple(kind for kind in KINDS if settings.kinds == "auto" or kind in settings.kinds)
    keeper = _Keeper(settings, seed, {_words(text) for text in protected})
    links: list[tuple[str, Found, str, str]] = []
    documents = 0
    batches = _batches(_read(documents_dir))
    working = in_order(_find, batches, workers or cores(), _same, (wanted,), "batches.workers")
    with closing(working):
        for found in track(working, "pairs, blocks of documents"):
            documents += found.documents
            for kind, pair, document_id, source in found.pairs:
                if pair.points_to:
                    links.append((kind, pair, document_id, source))
                else:
                    keeper.add(kind, pair, document_id, source)
    if links:
        openings = _openings(documents_dir, {found.passage for _, found, _, _ in links})
        for kind, link, document_id, source in links:
            opening = openings.get(link.passage)
            if opening is None:
                keeper.drop("no_target", kind)
            elif len({is_held_out(one, settings.held_out, seed) for one in (document_id, link.passage)}) > 1:
                keeper.drop("held_apart", kind)
            else:
                keeper.add(kind, Found(link.query, opening), document_id, source)
    if generated is not None:
        for one in generated.pairs:
            keeper.add(one.kind, Found(one.query, one.passage), one.document_id, one.source)
        for reason, number in generated.dropped.items():
            keeper.drop(reason, GENERATED, number)
    return Mined(keeper.ordered(), keeper.dropped, documents)


@dataclass(frozen=True)
class _FoundInBatch:
    documents: int
    pairs: list[tuple[str, Found, str, str]]


def _read(documents_dir: Path) -> Iterator[Document]:
    """The documents, with one line end whatever system they were written on."""
    for document in read_documents(documents_dir):
        text = document.text
        if "\r" in text:
            document = replace(document, text=text.replace("\r\n", "\n").replace("\r", "\n"))
        yield document


def _batches(documents: Iterator[Document]) -> Iterator[list[Document]]:
    while batch := list(islice(documents, _DOCUMENTS_AT_ONCE)):
        yield batch


def _same(kinds: tuple[str, ...]) -> tuple[str, ...]:
    return kinds


def _find(kinds: Sequence[str], batch: list[Document]) -> _FoundInBatch:
    found = [
        (kind, pair, document.id, document.source)
        for document in batch
        for kind in kinds
        for pair in KINDS[kind](document)
    ]
    return _FoundInBatch(len(batch), found)


def _openings(documents_dir: Path, wanted: set[str]) -> dict[str, str]:
    """First passage of each wanted document that exists."""
    return {
        document.id: next(passages(body_of(document)), "")
        for document in _read(documents_dir)
        if document.id in wanted
    }


def _words(text: str) -> str:
    return " ".join(subwords(text))


class _Keeper:
    """Takes pairs one by one and keeps what is no repeat, of each kind at most so many, drawn by text."""

    def __init__(self, settings: PairsSettings, seed: int, protected: set[str]) -> None:
        self._settings = settings
        self._seed = seed
        self._protected = protected
        self._seen: set[bytes] = set()
        self._of_document: Counter[tuple[str, str]] = Counter()
        self._kept: dict[str, list[tuple[int, int, Pair]]] = {}
        self._number = count()
        self.dropped: dict[str, Counter[str]] = {}

    def drop(self, reason: str, kind: str, number: int = 1) -> None:
        self.dropped.setdefault(reason, Counter())[kind] += number

    def add(self, kind: str, found: Found, document_id: str, source: str) -> None:
        query, passage = one_line(found.query), shorten(found.passage)
        own = [self._key(kind, "query", query), self._key(kind, "passage", passage)]
        reason = self._fault(query, passage, own, (kind, document_id))
        if reason is not None:
            self.drop(reason, kind)
            return
        self._seen.update(own)
        self._of_document[kind, document_id] += 1
        # The smallest draws stay, so that which pairs are kept does not depend on the order of documents.
        draw = int.from_bytes(hashlib.blake2b(b"".join([*own, b"%d" % self._seed]), digest_size=8).digest())
        heap = self._kept.setdefault(kind, [])
        entry = (-draw, next(self._number), Pair(kind, query, passage, document_id, source))
        if self._settings.max_pairs is None or len(heap) < self._settings.max_pairs:
            heappush(heap, entry)
        else:
            heappushpop(heap, entry)
            self.drop("pair_limit", kind)

    def _fault(self, query: str, passage: str, own: list[bytes], of: tuple[str, str]) -> str | None:
        words = len(tokens(query))
        if words < SHORTEST_QUERY:
            return "short_query"
        if words > LONGEST_QUERY:
            return "long_query"
        if len(tokens(passage)) < SHORTEST_PASSAGE:
            return "short_passage"
        if _words(query) in self._protected:
            return "benchmark_query"
        if own[0] in self._seen:
            return "repeated_query"
        if own[1] in self._seen:
            return "repeated_passage"
        return "document_limit" if self._of_document[of] >= self._settings.max_per_document else None

    def _key(self, kind: str, part: str, text: str) -> bytes:
        whole = f"{kind}\0{part}\0{squash(text)}".encode("utf-8", "surrogatepass")
        return hashlib.blake2b(whole, digest_size=16).digest()

    def ordered(self) -> dict[str, list[Pair]]:
        """The kept ones of every kind, in the order of their draws, kinds in the order of the registry."""
        return {
            kind: [pair for _, _, pair in sorted(self._kept[kind], key=lambda entry: -entry[0])]
            for kind in (*KINDS, GENERATED)
            if kind in self._kept
        }

"""Stage `filter_corpus`: sources -> rules -> Parquet shards and counts."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from revela.corpus.decontaminate import Decontaminator
from revela.corpus.filters import Judgement, build_filters
from revela.corpus.filters.base import View
from revela.corpus.schema import DOCUMENT_SCHEMA, DROPPED_SCHEMA, Document, Malformed
from revela.corpus.shards import ShardWriter
from revela.corpus.sources import check_sources, open_source
from revela.corpus.text_key import text_key
from revela.errors import RevelaError
from revela.files import atomic_directory, explain_full_disk, write_json
from revela.progress import track
from revela.settings import CorpusSettings

logger = logging.getLogger(__name__)

_FIRST_FAULTS = 5


def filter_corpus(
    settings: CorpusSettings, protected: Iterable[str], out_dir: Path, report_dir: Path
) -> dict[str, Any]:
    """Read all sources, drop what the rules drop, and write the rest.

    `out_dir` gets ``documents-*.parquet`` (:data:`DOCUMENT_SCHEMA`), ``dropped-*.parquet``
    (:data:`DROPPED_SCHEMA`) and ``malformed.jsonl``; `report_dir` gets ``metrics.json``. The same
    input gives the same bytes. On an error both stay as they were.

    Args:
        settings: section `corpus` of ``params.yaml``.
        protected: benchmark texts that must not be in the corpus.

    Returns:
        the content of ``metrics.json``.

    Raises:
        RevelaError: a source cannot be read, too many rows are malformed, or nothing is left.
    """
    check_sources(settings)
    judge = _judge(settings, protected)
    counts = _Counts()
    with atomic_directory(out_dir) as partial:
        _write(settings, judge, counts, partial)
        _check(counts, settings)
    metrics = counts.as_metrics()
    write_json(report_dir / "metrics.json", metrics)
    logger.info("corpus: %d documents kept of %d read", metrics["documents_kept"], metrics["documents_read"])
    return metrics


def read_documents(folder: Path) -> Iterator[Document]:
    """Stream the documents that :func:`filter_corpus` wrote, in their order.

    Raises:
        RevelaError: there is no corpus in `folder`.
    """
    shards = sorted(Path(folder).glob("documents-*.parquet"))
    if not shards:
        raise RevelaError(f"{folder}: no documents-*.parquet. Run the stage filter_corpus first.")
    for shard in shards:
        with pq.ParquetFile(shard) as file:
            for batch in file.iter_batches(batch_size=256):
                for row in batch.to_pylist():
                    yield Document(**row)


@dataclass
class _SourceCounts:
    read: int = 0
    kept: int = 0
    characters: int = 0
    words: int = 0
    malformed: int = 0
    dropped: Counter[str] = field(default_factory=Counter)


@dataclass
class _Counts:
    """Everything that is counted, by source; totals are sums over sources."""

    sources: dict[str, _SourceCounts] = field(default_factory=dict)
    malformed_reasons: Counter[str] = field(default_factory=Counter)
    renamed_ids: int = 0
    first_faults: list[Malformed] = field(default_factory=list)

    def of(self, source: str) -> _SourceCounts:
        return self.sources.setdefault(source, _SourceCounts())

    def total(self, name: str) -> int:
        return sum(getattr(counts, name) for counts in self.sources.values())

    def dropped(self) -> dict[str, int]:
        return _ordered(sum((counts.dropped for counts in self.sources.values()), Counter()))

    def as_metrics(self) -> dict[str, Any]:
        return {
            "documents_read": self.total("read"),
            "documents_kept": self.total("kept"),
            "documents_dropped": sum(self.dropped().values()),
            "dropped_by_reason": self.dropped(),
            "rows_malformed": self.total("malformed"),
            "malformed_by_reason": _ordered(self.malformed_reasons),
            "renamed_ids": self.renamed_ids,
            "characters_kept": self.total("characters"),
            "words_kept": self.total("words"),
            "sources": {
                source: asdict(counts) | {"dropped": _ordered(counts.dropped)}
                for source, counts in self.sources.items()
            },
        }


def _ordered(counter: Counter[str]) -> dict[str, int]:
    return dict(sorted(counter.items()))


def _judge(settings: CorpusSettings, protected: Iterable[str]) -> Callable[[Document], Judgement]:
    filters = build_filters(settings.filters)
    words = settings.decontamination.words
    decontaminator = None if words is None else Decontaminator(protected, words)
    kept: dict[bytes, str] = {}

    def judge(document: Document) -> Judgement:
        verdict = filters.judge(document)
        if verdict.reason is not None:
            return verdict
        # Before the duplicates: a copy of a dropped document is contaminated too, not a duplicate.
        shared = None if decontaminator is None else decontaminator(View(verdict.document))
        if shared is not None:
            return Judgement(document, Decontaminator.reason, shared)
        if settings.filters.drop_exact_duplicates:
            first = kept.setdefault(text_key(verdict.document.text), document.id)
            if first != document.id:
                return Judgement(document, "exact_duplicate", f"same text as {first}")
        return verdict

    return judge


def _write(
    settings: CorpusSettings, judge: Callable[[Document], Judgement], counts: _Counts, folder: Path
) -> None:
    ids: set[str] = set()
    rows = track(chain.from_iterable(map(open_source, settings.sources)), "reading documents")
    with (
        ShardWriter(folder, "documents", DOCUMENT_SCHEMA) as kept,
        ShardWriter(folder, "dropped", DROPPED_SCHEMA) as dropped,
        explain_full_disk(folder),
        open(folder / "malformed.jsonl", "w", encoding="utf-8", newline="\n") as malformed,
    ):
        for row in rows:
            of_source = counts.of(row.source)
            if isinstance(row, Malformed):
                of_source.malformed += 1
                counts.malformed_reasons[row.reason] += 1
                if len(counts.first_faults) < _FIRST_FAULTS:
                    counts.first_faults.append(row)
                malformed.write(json.dumps(asdict(row), ensure_ascii=False) + "\n")
                continue
            document = _with_unique_id(row, ids)
            counts.renamed_ids += document is not row
            of_source.read += 1
            verdict = judge(document)
            if verdict.reason is None:
                document = verdict.document
                of_source.kept += 1
                of_source.characters += len(document.text)
                of_source.words += len(document.text.split())
                kept.write(asdict(document), len(document.text))
            else:
                of_source.dropped[verdict.reason] += 1
                record = {"id": document.id, "source": document.source, "text": document.text}
                why = {"reason": verdict.reason, "detail": verdict.detail}
                dropped.write(record | why, len(document.text))


def _with_unique_id(document: Document, ids: set[str]) -> Document:
    """The document itself, or a copy called ``id~2``, ``id~3``, … when its id is taken."""
    name, number = document.id, 1
    while name in ids:
        number += 1
        name = f"{document.id}~{number}"
    ids.add(name)
    return document if number == 1 else replace(document, id=name)


def _check(counts: _Counts, settings: CorpusSettings) -> None:
    bad = counts.total("malformed")
    rows = counts.total("read") + bad
    if bad > settings.max_malformed_share * rows:
        places = "\n".join(f"  {fault.place}: {fault.what}" for fault in counts.first_faults)
        raise RevelaError(
            f"corpus: {bad} of {rows} rows are malformed ({bad / rows:.1%}), above "
            f"corpus.max_malformed_share ({settings.max_malformed_share:.1%}). The first:\n{places}"
        )
    if counts.total("kept") == 0:
        reasons = ", ".join(f"{reason}: {count}" for reason, count in counts.dropped().items())
        raise RevelaError(
            f"corpus: no document is left of {counts.total('read')} read "
            f"({reasons or 'the sources are empty'}). Loosen the rules under corpus.filters, or add sources."
        )

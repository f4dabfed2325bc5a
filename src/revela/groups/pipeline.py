"""Stage `build_batches`: documents -> chunks -> groups in Parquet, and a report."""

from __future__ import annotations

import logging
import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from revela.chunks.duplicates import SHINGLE_WORDS, duplicate_of
from revela.chunks.store import ChunkStore
from revela.chunks.writer import write_chunks
from revela.corpus.shards import ShardWriter
from revela.errors import RevelaError
from revela.files import atomic_directory, atomic_write_text, write_json
from revela.groups.by_document import form_by_document
from revela.groups.by_random import form_by_random
from revela.groups.by_topic import form_by_topic
from revela.groups.caps import draw_groups
from revela.groups.formed import JOINED, KINDS, WHOLE_DOCUMENT, Formed, group_iter
from revela.groups.mixture import form_mixture
from revela.groups.near_identical import Separated, separate_near_identical
from revela.groups.plots import save_plot
from revela.groups.report import PLOT, markdown
from revela.groups.schema import GROUP_SCHEMA
from revela.groups.statistics import Statistics
from revela.pairs.generated import Generated
from revela.pairs.held_out import is_held_out
from revela.pairs.pipeline import build_pairs
from revela.progress import track
from revela.settings import BatchesSettings

logger = logging.getLogger(__name__)

# Key `batches.strategy`, or a component's, -> how chunks become groups.
STRATEGIES = {"document": form_by_document, "topic": form_by_topic, "random": form_by_random}

HISTOGRAM_BINS = 8
_GROUPS_AT_ONCE = 64


def build_batches(
    settings: BatchesSettings,
    seed: int,
    documents_dir: Path,
    tokenizer_dir: Path,
    out_dir: Path,
    report_dir: Path,
    protected: Iterable[str] = (),
    generated: Generated | None = None,
) -> dict[str, Any]:
    """Cut the corpus into chunks and put them into groups; find the pairs that `batches.pairs` asks for.

    `out_dir` gets ``groups-*.parquet`` (:data:`GROUP_SCHEMA`) and ``statistics.parquet``, a row a group
    (:data:`STATISTICS_SCHEMA`), and pairs (:func:`revela.pairs.pipeline.build_pairs`). Documents that
    are held out for validation are in no group. `report_dir` gets ``metrics.json``, ``report.md`` and
    ``groups.png``. The same input and seed give the same bytes, whatever the number of processes. Chunks lie
    in a hidden folder beside `out_dir` until all is done: an interrupted run goes on with them. On an error
    `out_dir` and `report_dir` stay as they were.

    Args:
        settings: section `batches` of ``params.yaml``.
        seed: for the draws and the order of groups.
        documents_dir: what ``filter_corpus`` wrote.
        tokenizer_dir: folder with the retriever's ``tokenizer.json``.
        protected: queries of benchmarks, which no pair may have.
        generated: pairs that a language model wrote.

    Returns:
        the content of ``metrics.json``.

    Raises:
        RevelaError: no corpus, no tokenizer, or not enough text for one group.
    """
    scratch = out_dir.with_name(f".{out_dir.name}.chunks")
    store = write_chunks(settings, documents_dir, tokenizer_dir, scratch)
    members, duplicates = _without_duplicates(store, settings, scratch)
    members, held_out = _without_held_out(store, members, settings, seed)
    duplicates += Counter(held_out=held_out)
    separated = _form(store, members, settings, seed)
    weights = [component.weight for component in settings.mixture] or [1.0]
    formed = draw_groups(separated.formed, weights, settings.max_groups, seed)
    formed.check_books(members)
    if len(formed.groups) == 0:
        raise RevelaError(_no_groups(store, settings))
    statistics = Statistics.of(store, formed, members, seed)
    metrics = _metrics(store, formed, duplicates, separated, settings) | statistics.metrics()
    with atomic_directory(out_dir) as folder:
        _write(store, formed, statistics, folder)
        told = ""
        if settings.pairs is not None:
            workers = settings.workers
            metrics["pairs"], told = build_pairs(
                settings.pairs, seed, documents_dir, protected, folder, workers, generated
            )
    _write_report(store, formed, statistics, metrics, settings, report_dir, told)
    shutil.rmtree(scratch)
    logger.info("batches: %d groups of %d chunks", len(formed.groups), settings.group_size)
    return metrics


def _without_duplicates(
    store: ChunkStore, settings: BatchesSettings, scratch: Path
) -> tuple[np.ndarray, Counter[str]]:
    """Numbers of the chunks that are no copy of an earlier one, and how many are."""
    exact, near = duplicate_of(store, settings.near_identical_jaccard, scratch, settings.workers)
    copies = Counter(duplicate_chunk=int(exact.sum()), near_duplicate_chunk=int(near.sum()))
    members = np.flatnonzero(~(exact | near))
    if len(members) + copies.total() != len(store):
        raise RuntimeError(f"batches: {len(store)} chunks, but {len(members)} left of {dict(copies)}")
    return members, copies


def _without_held_out(
    store: ChunkStore, members: np.ndarray, settings: BatchesSettings, seed: int
) -> tuple[np.ndarray, int]:
    """The chunks of documents that training may see, and how many others there are."""
    if settings.pairs is None:
        return members, 0
    ids = store.document_ids(members)
    held = {name: is_held_out(name, settings.pairs.held_out, seed) for name in set(ids)}
    kept = np.array([not held[name] for name in ids], bool)
    return members[kept], int((~kept).sum())


def _form(store: ChunkStore, members: np.ndarray, settings: BatchesSettings, seed: int) -> Separated:
    if settings.strategy == "mixture":
        formed = form_mixture(store, members, settings, seed, STRATEGIES)
    else:
        formed = STRATEGIES[settings.strategy](store, members, settings, seed)
    formed.check_books(members)
    return separate_near_identical(store, formed, settings.near_identical_jaccard, SHINGLE_WORDS)


def _no_groups(store: ChunkStore, settings: BatchesSettings) -> str:
    longest = "no document has a chunk"
    if len(store):
        counts = np.bincount(store.document)
        first = int(np.searchsorted(store.document, int(counts.argmax())))
        longest = f"the longest document, {store.document_ids(np.array([first]))[0]}, has {counts.max()}"
    return (
        f"batches: no group: {store.documents} documents gave {len(store)} chunks, but a group "
        f"needs batches.group_size = {settings.group_size} of one source ({longest}). "
        f"Lower batches.group_size, batches.chunk_tokens ({settings.chunk_tokens}) or "
        f"batches.min_chunk_tokens ({settings.min_chunk_tokens}), or add text."
    )


def _write(store: ChunkStore, formed: Formed, statistics: Statistics, folder: Path) -> None:
    slices = track(
        group_iter(formed.groups, _GROUPS_AT_ONCE),
        "writing groups",
        total=-(-len(formed.groups) // _GROUPS_AT_ONCE),
    )
    size, number = formed.groups.shape[1], 0
    with ShardWriter(folder, "groups", GROUP_SCHEMA) as writer:
        for some in slices:
            chunks = store.chunks(some.ravel())
            for start in range(0, len(chunks), size):
                members = chunks[start : start + size]
                rows = [
                    {"group": number, "position": position} | asdict(chunk)
                    for position, chunk in enumerate(members)
                ]
                writer.write_all(rows, sum(len(chunk.text) for chunk in members))
                number += 1
    statistics.write(folder / "statistics.parquet")


def _write_report(
    store: ChunkStore,
    formed: Formed,
    statistics: Statistics,
    metrics: dict[str, Any],
    settings: BatchesSettings,
    report_dir: Path,
    told: str,
) -> None:
    write_json(report_dir / "metrics.json", metrics)
    tokens = store.tokens[formed.groups.ravel()]
    save_plot(report_dir / PLOT, statistics, tokens, settings.chunk_tokens, metrics["chunks_by_source"])
    text = markdown(metrics, statistics, lambda number: store.chunks(formed.groups[number]))
    atomic_write_text(report_dir / "report.md", f"{text}\n{told}" if told else text)


def _metrics(
    store: ChunkStore,
    formed: Formed,
    duplicates: Counter[str],
    separated: Separated,
    settings: BatchesSettings,
) -> dict[str, Any]:
    used = formed.groups.ravel()
    tokens = store.tokens[used]
    kinds = Counter(formed.kinds)
    shown = [kind for kind in KINDS if kinds[kind] or kind in (WHOLE_DOCUMENT, JOINED)]
    by_source = np.bincount(store.source[used], minlength=len(store.sources))
    sources = {name: int(count) for name, count in zip(store.sources, by_source, strict=True) if count}
    return {
        "documents": store.documents,
        "documents_used": len(np.unique(store.document[used])),
        "documents_without_chunks": store.documents - len(np.unique(store.document)),
        "chunks": len(store),
        "chunks_used": len(used),
        "groups": len(formed.groups),
        "group_size": settings.group_size,
        "groups_by_kind": {kind: kinds[kind] for kind in shown},
        "chunks_dropped_by_reason": dict(sorted((store.dropped + duplicates + formed.reasons()).items())),
        "near_identical_pairs_in_groups": separated.pairs,
        "tokens": int(tokens.sum()),
        "mean_tokens": round(float(tokens.mean()), 2),
        "tokens_histogram": _histogram(tokens, settings.chunk_tokens),
        "chunks_by_source": dict(sorted(sources.items())),
    }


def _histogram(values: np.ndarray, maximum: int) -> dict[str, int]:
    """``{"1-16": count, "17-32": …}``: eight equal bins up to `maximum`."""
    edges = [maximum * step // HISTOGRAM_BINS for step in range(HISTOGRAM_BINS + 1)]
    return {
        f"{low + 1}-{high}": int(((low < values) & (values <= high)).sum()) for low, high in pairwise(edges)
    }

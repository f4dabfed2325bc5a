"""Stage `filter_corpus`: sources -> rules -> duplicates -> Parquet shards, counts and a report.

Three passes, each in bounded memory:

1. records are read in order, cut into blocks, and every block is parsed and judged by some process;
   the part that comes of it is kept in a cache;
2. what only the whole corpus tells (double ids, duplicates, shares of sources) is found from the
   parts' keys;
3. the parts are gone through once more, in order, and what is kept is written.
"""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from revela.corpus.blocks import Block, cut_blocks
from revela.corpus.counts import Counts
from revela.corpus.decontaminate import Decontaminator
from revela.corpus.executor import run_local
from revela.corpus.filters import build_filters
from revela.corpus.minhash import Signer
from revela.corpus.parts import PartCache
from revela.corpus.schema import Document
from revela.corpus.sources import check_sources, open_records
from revela.corpus.verdicts import Verdicts, find_verdicts
from revela.corpus.worker import Worker
from revela.corpus.writer import write_corpus
from revela.errors import RevelaError
from revela.files import atomic_directory, sha256_tree, write_json
from revela.progress import track
from revela.settings import CorpusSettings

logger = logging.getLogger(__name__)

_MEGABYTE = 1_000_000
# Libraries that decide what becomes of a text: another release is another result.
_LIBRARIES = ("resiliparse", "detect-secrets", "rensa", "pyarrow")


class Part(NamedTuple):
    """A block that has been worked on, or found in the cache."""

    source: int
    digest: str
    records: int


def filter_corpus(
    settings: CorpusSettings,
    protected: Iterable[str],
    out_dir: Path,
    report_dir: Path,
    cache_dir: Path | None = None,
) -> dict[str, Any]:
    """Read all sources, clean their texts, drop what the rules drop, and write the rest.

    `out_dir` gets ``documents-*.parquet`` (:data:`DOCUMENT_SCHEMA`), ``malformed.jsonl`` and, where
    `keep_dropped` asks for it, ``dropped/<reason>-*.parquet`` (:data:`DROPPED_SCHEMA`); `report_dir` gets
    ``metrics.json`` and ``report.md`` with its plots. The same input gives the same bytes, whatever the
    number of processes, and whether or not parts come from the cache. On an error both stay as they were.

    Args:
        settings: section `corpus` of ``params.yaml``.
        protected: benchmark texts that must not be in the corpus.
        out_dir: replaced as a whole.
        report_dir: made when missing.
        cache_dir: where parts are kept for the next run; None keeps none.

    Returns:
        the content of ``metrics.json``.

    Raises:
        RevelaError: a source cannot be read, too many rows are malformed, or nothing is left.
    """
    check_sources(settings)
    protected = sorted(set(protected))
    worker = _worker(settings, protected)
    counts = Counts()
    with ExitStack() as stack:
        partial = stack.enter_context(atomic_directory(out_dir))
        scratch = Path(
            stack.enter_context(tempfile.TemporaryDirectory(dir=partial.parent, prefix=".filter_corpus-"))
        )
        cache = PartCache(cache_dir or scratch / "parts")
        parts = _make_parts(settings, worker, cache, _mark(settings, protected))
        verdicts = _verdicts(settings, cache, parts, scratch)
        counts.records = sum(part.records for part in parts)
        digests = [part.digest for part in parts]
        write_corpus(cache, digests, verdicts, counts, partial, settings.keep_dropped)
        counts.check(settings)
        cache.prune(digests)
    metrics = counts.as_metrics()
    if verdicts.fractions is not None:
        metrics["source_fractions"] = [round(fraction, 4) for fraction in verdicts.fractions]
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


def _worker(settings: CorpusSettings, protected: list[str]) -> Worker:
    near = settings.near_duplicates
    return Worker(
        sources=settings.sources,
        filters=build_filters(settings.filters),
        protection=[Decontaminator(protected, settings.decontamination.words)]
        if settings.decontamination.words
        else [],
        signer=Signer(near.jaccard, near.shingle_words) if near else None,
    )


def _mark(settings: CorpusSettings, protected: list[str]) -> str:
    """Digest of all but the records that decides what a part holds."""
    decisive = {
        "settings": settings.model_dump(
            mode="json", include={"filters", "near_duplicates", "decontamination", "max_record_megabytes"}
        ),
        "protected": hashlib.blake2b("\0".join(protected).encode("utf-8", "surrogatepass")).hexdigest(),
        "code": sha256_tree(Path(__file__).parent),
        "libraries": {name: version(name) for name in _LIBRARIES},
    }
    return json.dumps(decisive, sort_keys=True)


def _make_parts(settings: CorpusSettings, worker: Worker, cache: PartCache, mark: str) -> list[Part]:
    """Pass 1: see to it that there is a part for every block."""
    parts: list[Part] = []
    reused = 0

    def missing() -> Iterator[Block]:
        nonlocal reused
        blocks = track(
            _blocks(settings, mark),
            "filtering, MB",
            size=lambda block: block.bytes / _MEGABYTE,
        )
        for block in blocks:
            parts.append(Part(block.source, block.digest, len(block.records)))
            if cache.has(block.digest):
                reused += 1
            else:
                yield block

    for digest, content in _run(settings, _Work(worker), missing()):
        cache.put(digest, content)
    if reused:
        logger.info("corpus: %d of %d blocks were filtered before and are as they were", reused, len(parts))
    return parts


class _Work(NamedTuple):
    worker: Worker

    def __call__(self, block: Block) -> tuple[str, bytes]:
        return block.digest, self.worker(block)


def _run(
    settings: CorpusSettings, work: Callable[[Block], tuple[str, bytes]], blocks: Iterator[Block]
) -> Iterator[tuple[str, bytes]]:
    if settings.executor == "ray":
        from revela.corpus.ray_executor import run_ray

        return run_ray(work, blocks, settings.workers, "corpus.workers")
    return run_local(work, blocks, settings.workers, "corpus.workers")


def _blocks(settings: CorpusSettings, mark: str) -> Iterator[Block]:
    max_bytes = int(settings.max_record_megabytes * _MEGABYTE)
    for number, source in enumerate(settings.sources):
        # Of the source only what decides how a record is read: its weight is a matter of the last pass.
        own = source.model_dump_json(exclude={"weight", "limit"})
        yield from cut_blocks(open_records(source, max_bytes), number, f"{mark}\0{own}")


def _verdicts(settings: CorpusSettings, cache: PartCache, parts: list[Part], scratch: Path) -> Verdicts:
    """Pass 2."""
    weights = [source.weight for source in settings.sources]
    return find_verdicts(
        cache,
        [part.digest for part in parts],
        [part.source for part in parts],
        None if None in weights else weights,
        settings.filters.drop_exact_duplicates,
        settings.near_duplicates,
        scratch,
    )

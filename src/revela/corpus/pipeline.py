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
import shutil
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from revela import words
from revela.corpus.blocks import Block, cut_blocks
from revela.corpus.counts import Counts
from revela.corpus.decontaminate import protection_rules
from revela.corpus.filters import RULES, build_filters
from revela.corpus.minhash import Signer
from revela.corpus.parts import PartCache
from revela.corpus.report import write_report
from revela.corpus.schema import Document
from revela.corpus.sources import check_sources, expected_bytes, open_records
from revela.corpus.verdicts import Verdicts, find_verdicts
from revela.corpus.worker import Worker
from revela.corpus.writer import write_corpus
from revela.errors import RevelaError
from revela.files import atomic_directory, sha256_file, sha256_tree, write_json
from revela.processes import cores, in_order
from revela.progress import track
from revela.settings import CorpusSettings, FilterSettings

logger = logging.getLogger(__name__)

_GREAT_LOSS = 0.5
"""Share of the documents that one reason takes, above which it is worth a warning."""

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
    number of processes, and whether or not parts come from the cache. On an error `out_dir` stays as it was.

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
        new_dir = stack.enter_context(atomic_directory(out_dir))
        # Inside the folder that is swept away when a run was killed.
        scratch = new_dir / ".scratch"
        scratch.mkdir()
        stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        cache = PartCache(cache_dir or scratch / "parts")
        parts = _make_parts(settings, worker, cache, _mark(settings, protected))
        verdicts = _verdicts(settings, cache, parts, scratch)
        counts.records = sum(part.records for part in parts)
        digests = [part.digest for part in parts]
        shown = write_corpus(
            cache, digests, verdicts, counts, new_dir, settings.keep_dropped, settings.samples_per_reason
        )
        counts.check(settings)
        cache.prune(digests)
    metrics = counts.as_metrics()
    if verdicts.fractions is not None:
        metrics["source_fractions"] = [round(fraction, 4) for fraction in verdicts.fractions]
    write_json(report_dir / "metrics.json", metrics)
    write_report(metrics, shown.lengths, shown.samples, report_dir, _redactor())
    logger.info("corpus: %d documents kept of %d read", metrics["documents_kept"], metrics["documents_read"])
    _warn_of_great_losses(counts)
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


def _warn_of_great_losses(counts: Counts) -> None:
    """Name a rule that takes most of a corpus: made for the web, it may not be made for this text."""
    read = counts.total("read")
    for reason, dropped in counts.dropped().items():
        if dropped > _GREAT_LOSS * read:
            keys = [f"corpus.filters.{key}" for key, rule in RULES.items() if rule.reason == reason]
            logger.warning(
                "corpus: %d of the %d documents were dropped as `%s`. If that is text that you search, %s",
                dropped, read, reason,
                f"loosen {keys[0]}." if keys else "see what docs/corpus.md says of that reason.",
            )  # fmt: skip


def _worker(settings: CorpusSettings, protected: list[str]) -> Worker:
    near = settings.near_duplicates
    return Worker(
        sources=settings.sources,
        filters=build_filters(settings.filters),
        protection=protection_rules(settings.decontamination, protected),
        signer=Signer(near.jaccard, near.shingle_words) if near else None,
    )


def _redactor() -> Callable[[str], str]:
    """Hides addresses and secrets in what the report quotes, whatever the settings say of the corpus."""
    redactors = build_filters(FilterSettings()).redactors

    def redact(text: str) -> str:
        for cleaner in redactors:
            text, _ = cleaner(Document("", "", text, "", "text"))
        return text

    return redact


def _mark(settings: CorpusSettings, protected: list[str]) -> str:
    """Digest of all but the records that decides what a part holds."""
    decisive = {
        "settings": settings.model_dump(
            mode="json", include={"filters", "near_duplicates", "decontamination", "max_record_megabytes"}
        ),
        "protected": hashlib.blake2b("\0".join(protected).encode("utf-8", "surrogatepass")).hexdigest(),
        "code": [sha256_tree(Path(__file__).parent), sha256_file(Path(words.__file__))],
        "libraries": {name: version(name) for name in _LIBRARIES},
        "unicode": unicodedata.unidata_version,  # what is a letter, and its lower case
    }
    return json.dumps(decisive, sort_keys=True)


def _make_parts(settings: CorpusSettings, worker: Worker, cache: PartCache, mark: str) -> list[Part]:
    """Pass 1: see to it that there is a part for every block."""
    parts: list[Part] = []
    reused = 0

    def missing() -> Iterator[Block]:
        nonlocal reused
        expected = expected_bytes(settings.sources)
        blocks = track(
            _blocks(settings, mark),
            "filtering, MB",
            total=expected and expected / _MEGABYTE,
            size=lambda block: block.bytes / _MEGABYTE,
        )
        for block in blocks:
            parts.append(Part(block.source, block.digest, len(block.records)))
            if cache.has(block.digest):
                reused += 1
            else:
                yield block

    for digest, content in _run(settings, worker, missing()):
        cache.put(digest, content)
    if reused:
        logger.info("corpus: %d of %d blocks were filtered before and are as they were", reused, len(parts))
    return parts


def _run(settings: CorpusSettings, worker: Worker, blocks: Iterator[Block]) -> Iterator[tuple[str, bytes]]:
    """(digest, part) of every block, by whatever processes the settings name."""
    if settings.executor == "ray":
        from revela.corpus.ray_executor import run_ray

        return run_ray(partial(_work, worker), blocks, settings.workers, "corpus.workers")
    return in_order(_work, blocks, settings.workers or cores(), _same, (worker,), "corpus.workers")


def _work(worker: Worker, block: Block) -> tuple[str, bytes]:
    return block.digest, worker(block)


def _same(worker: Worker) -> Worker:
    return worker


def _blocks(settings: CorpusSettings, mark: str) -> Iterator[Block]:
    max_bytes = int(settings.max_record_megabytes * _MEGABYTE)
    for number, source in enumerate(settings.sources):
        # Of the source only what decides how a record is read: its weight is a matter of the last pass.
        own = source.model_dump_json(exclude={"weight", "limit"})
        yield from cut_blocks(open_records(source, max_bytes), number, f"{mark}\0{own}")


def _verdicts(settings: CorpusSettings, cache: PartCache, parts: list[Part], scratch: Path) -> Verdicts:
    """Pass 2."""
    weights = [source.weight for source in settings.sources if source.weight is not None]
    return find_verdicts(
        cache,
        [part.digest for part in parts],
        [part.source for part in parts],
        weights if len(weights) == len(settings.sources) else None,
        settings.filters.drop_exact_duplicates,
        settings.near_duplicates,
        scratch,
    )

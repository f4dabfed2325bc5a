"""Stage `build_batches`: documents -> chunks -> groups in Parquet, and a report."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

from revela.batches.by_document import JOINED, WHOLE_DOCUMENT, Group, Grouping, group_by_document
from revela.batches.chunking import Chunker
from revela.batches.schema import GROUP_SCHEMA, Chunk
from revela.batches.tokenizer import check_room, load_tokenizer
from revela.corpus.pipeline import read_documents
from revela.corpus.shards import ShardWriter
from revela.errors import RevelaError
from revela.files import atomic_directory, atomic_write_text, write_json
from revela.progress import track
from revela.settings import BatchesSettings

logger = logging.getLogger(__name__)

# Key `batches.strategy` -> how chunks become groups.
STRATEGIES = {"document": group_by_document}

HISTOGRAM_BINS = 8
_SAMPLE_GROUPS = 3
_SAMPLE_CHARACTERS = 240


def build_batches(
    settings: BatchesSettings,
    seed: int,
    documents_dir: Path,
    tokenizer_dir: Path,
    out_dir: Path,
    report_dir: Path,
) -> dict[str, Any]:
    """Cut the corpus into chunks and put them into groups.

    `out_dir` gets ``groups-*.parquet`` (:data:`GROUP_SCHEMA`), `report_dir` gets ``metrics.json`` and
    ``sample_groups.md``. The same input and seed give the same bytes. On an error `out_dir` stays as it was.

    Args:
        settings: section `batches` of ``params.yaml``.
        seed: for the draws and the order of groups.
        documents_dir: what ``filter_corpus`` wrote.
        tokenizer_dir: folder with the retriever's ``tokenizer.json``.

    Returns:
        the content of ``metrics.json``.

    Raises:
        RevelaError: no corpus, no tokenizer, or not enough text for one group.
    """
    tokenizer = load_tokenizer(tokenizer_dir)
    check_room(tokenizer_dir, tokenizer, settings.chunk_tokens)
    chunker = Chunker(tokenizer, settings.chunk_tokens, settings.min_chunk_tokens, settings.query_ratio)
    counts: Counter[str] = Counter()
    grouping = STRATEGIES[settings.strategy](
        _chunks_of(chunker, documents_dir, counts),
        settings.group_size,
        seed,
        settings.max_groups_per_document,
        settings.max_groups,
    )
    if not grouping.groups:
        raise RevelaError(_no_groups(grouping, counts, settings))
    _write(grouping.groups, out_dir)
    metrics = _metrics(grouping, counts, chunker.dropped, settings)
    write_json(report_dir / "metrics.json", metrics)
    atomic_write_text(report_dir / "sample_groups.md", _samples(grouping.groups))
    logger.info("batches: %d groups of %d chunks", len(grouping.groups), settings.group_size)
    return metrics


def _chunks_of(chunker: Chunker, documents_dir: Path, counts: Counter[str]) -> Iterator[list[Chunk]]:
    for _, chunks in track(chunker.chunks(read_documents(documents_dir)), "chunking documents"):
        counts["documents"] += 1
        counts["chunks"] += len(chunks)
        yield chunks


def _no_groups(grouping: Grouping, counts: Counter[str], settings: BatchesSettings) -> str:
    name, length = grouping.longest_document
    longest = f"the longest document, {name}, has {length}" if length else "no document has a chunk"
    return (
        f"batches: no group: {counts['documents']} documents gave {counts['chunks']} chunks, but a group "
        f"needs batches.group_size = {settings.group_size} of one source ({longest}). "
        f"Lower batches.group_size, batches.chunk_tokens ({settings.chunk_tokens}) or "
        f"batches.min_chunk_tokens ({settings.min_chunk_tokens}), or add text."
    )


def _write(groups: list[Group], out_dir: Path) -> None:
    with atomic_directory(out_dir) as partial, ShardWriter(partial, "groups", GROUP_SCHEMA) as writer:
        for number, group in enumerate(groups):
            rows = [
                {"group": number, "position": position} | asdict(chunk)
                for position, chunk in enumerate(group.chunks)
            ]
            writer.write_all(rows, sum(len(chunk.text) for chunk in group.chunks))


def _metrics(
    grouping: Grouping, counts: Counter[str], dropped: Counter[str], settings: BatchesSettings
) -> dict[str, Any]:
    chunks = [chunk for group in grouping.groups for chunk in group.chunks]
    tokens = sum(chunk.tokens for chunk in chunks)
    kinds = Counter(group.kind for group in grouping.groups)
    reasons = dropped + grouping.dropped
    return {
        "documents": counts["documents"],
        "documents_used": len({chunk.document_id for chunk in chunks}),
        "chunks": counts["chunks"],
        "chunks_used": len(chunks),
        "groups": len(grouping.groups),
        "group_size": settings.group_size,
        "groups_by_kind": {kind: kinds[kind] for kind in (WHOLE_DOCUMENT, JOINED)},
        "chunks_dropped_by_reason": dict(sorted(reasons.items())),
        "tokens": tokens,
        "mean_tokens": round(tokens / len(chunks), 2),
        "tokens_histogram": _histogram([chunk.tokens for chunk in chunks], settings.chunk_tokens),
        "chunks_by_source": dict(sorted(Counter(chunk.source for chunk in chunks).items())),
    }


def _histogram(values: list[int], maximum: int) -> dict[str, int]:
    """``{"1-16": count, "17-32": …}``: eight equal bins up to `maximum`."""
    edges = [maximum * step // HISTOGRAM_BINS for step in range(HISTOGRAM_BINS + 1)]
    bins = {}
    for low, high in pairwise(edges):
        bins[f"{low + 1}-{high}"] = sum(low < value <= high for value in values)
    return bins


def _samples(groups: list[Group]) -> str:
    """The first groups as Markdown, long chunks shortened, the query's end marked."""
    parts = [f"# The first {min(_SAMPLE_GROUPS, len(groups))} of {len(groups)} groups\n\n‖ ends the query.\n"]
    for number, group in enumerate(groups[:_SAMPLE_GROUPS]):
        parts.append(f"\n## Group {number} ({group.kind.replace('_', ' ')})\n")
        for chunk in group.chunks:
            query, rest = chunk.text[: chunk.query_end], chunk.text[chunk.query_end :]
            shown = f"{_shortened(query, keep_end=True)}‖{_shortened(rest, keep_end=False)}"
            indented = "\n".join(f"    {line}" for line in shown.splitlines())
            parts.append(f"\n`{chunk.chunk_id}`, {chunk.tokens} tokens\n\n{indented}\n")
    return "".join(parts)


def _shortened(text: str, keep_end: bool) -> str:
    if len(text) <= _SAMPLE_CHARACTERS:
        return text
    return f"…{text[-_SAMPLE_CHARACTERS:]}" if keep_end else f"{text[:_SAMPLE_CHARACTERS]}…"

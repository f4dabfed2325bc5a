"""Chunks on disk: Arrow files that are mapped into memory, and the part of a corpus that each comes from.

A shard of documents gives two files, ``documents-<n>-<mark>.arrow`` and ``chunks-<n>-<mark>.arrow``. The
mark stands for all that its chunks depend on, so a file with the right name needs no reading to be trusted.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

import revela.chunks
import revela.corpus.schema
from revela.chunks.chunk import Chunk
from revela.chunks.chunking import Chunker
from revela.chunks.tokenizer import load_tokenizer
from revela.corpus.schema import Document
from revela.corpus.text_key import text_key
from revela.errors import RevelaError
from revela.files import settle, sha256_file, sha256_tree
from revela.settings import BatchesSettings

CHUNKS_SCHEMA = pa.schema(
    [
        ("document", pa.int32()),  # row of its shard
        ("text", pa.string()),  # a record batch holds a few megabytes, so 32-bit offsets do
        ("query_end", pa.int32()),
        ("tokens", pa.int32()),
        ("start", pa.int64()),
        ("end", pa.int64()),
        ("start_byte", pa.int64()),
        ("end_byte", pa.int64()),
        ("passage_title", pa.string()),
        ("key", pa.uint64()),
    ]
)
DOCUMENT_COLUMNS = ["id", "title", "source", "kind"]

_COUNTS = b"counts"
_BLOCK_BYTES = 2_000_000  # of documents in one piece of work


@dataclass(frozen=True)
class Block:
    """A piece of work: some rows of one row group of a shard.

    Attributes:
        shard: the Parquet file of documents.
        row_group: its number in the file.
        first, last: rows of the row group, one past the last.
        offset: rows of the file before the row group.
        path: the Arrow file to write.
    """

    shard: Path
    row_group: int
    first: int
    last: int
    offset: int
    path: Path


def shards_of(documents_dir: Path) -> list[Path]:
    """The files of documents, in order.

    Raises:
        RevelaError: there are none.
    """
    shards = sorted(Path(documents_dir).glob("documents-*.parquet"))
    if not shards:
        raise RevelaError(f"{documents_dir}: no documents-*.parquet. Run the stage filter_corpus first.")
    return shards


def settings_mark(settings: BatchesSettings, tokenizer_dir: Path) -> str:
    """Hex digest of what the chunks of any document depend on: settings, tokenizer and code."""
    keys = {"chunk_tokens", "min_chunk_tokens", "overlap_tokens", "titles", "query_ratio"}
    parts = [
        json.dumps(settings.model_dump(mode="json", include=keys), sort_keys=True),
        sha256_file(tokenizer_dir / "tokenizer.json"),
        sha256_tree(Path(revela.chunks.__file__).parent),
        sha256_file(Path(revela.corpus.schema.__file__)),
        version("tokenizers"),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def shard_mark(shard: Path, mark: str) -> str:
    """Sixteen hex digits that name the chunks of one shard under a :func:`settings_mark`."""
    return hashlib.sha256(f"{mark}\0{sha256_file(shard)}".encode()).hexdigest()[:16]


def blocks_of(shard: Path, name: str, folder: Path) -> list[Block]:
    """A shard cut into pieces of about two megabytes, by its footer alone; at least one a row group."""
    blocks: list[Block] = []
    offset = 0
    with pq.ParquetFile(shard) as file:
        for group in range(file.num_row_groups):
            metadata = file.metadata.row_group(group)
            rows = metadata.num_rows
            pieces = max(1, min(rows, round(metadata.total_byte_size / _BLOCK_BYTES)))
            edges = [rows * piece // pieces for piece in range(pieces + 1)]
            for first, last in pairwise(edges):
                path = folder / f"block-{name}-{len(blocks):05d}.arrow"
                blocks.append(Block(shard, group, first, last, offset, path))
            offset += rows
    return blocks


def make_chunker(settings: BatchesSettings, tokenizer_dir: Path) -> Chunker:
    """A chunker as the section `batches` describes it."""
    return Chunker(
        load_tokenizer(tokenizer_dir),
        settings.chunk_tokens,
        settings.min_chunk_tokens,
        settings.query_ratio,
        settings.overlap_tokens,
        settings.titles,
    )


def write_block(block: Block, chunker: Chunker) -> None:
    """Chunk the documents of a block into its file."""
    with pq.ParquetFile(block.shard) as file:
        table = file.read_row_group(block.row_group).slice(block.first, block.last - block.first)
    documents = [Document(**row) for row in table.to_pylist()]
    chunker.dropped.clear()
    chunker.titles_cut = 0
    rows: list[tuple[int, list[Chunk]]] = [
        (block.offset + block.first + number, chunks)
        for number, (_, chunks) in enumerate(chunker.chunks(documents))
    ]
    counts = Counter(chunker.dropped)
    if chunker.titles_cut:
        counts["titles_cut"] = chunker.titles_cut
    _write(block.path, [_record_batch(rows)], counts)


def _record_batch(rows: list[tuple[int, list[Chunk]]]) -> pa.RecordBatch:
    chunks = [chunk for _, of_document in rows for chunk in of_document]
    columns = {
        "document": [number for number, of_document in rows for _ in of_document],
        "key": [int.from_bytes(text_key(chunk.text)[:8], "little") for chunk in chunks],
    }
    arrays = [
        pa.array(columns.get(field.name) or [getattr(chunk, field.name) for chunk in chunks], field.type)
        for field in CHUNKS_SCHEMA
    ]
    return pa.record_batch(arrays, schema=CHUNKS_SCHEMA)


def join_blocks(paths: list[Path], target: Path) -> None:
    """Put the record batches of several files into one, in order, and remove the files."""
    files = [open_mapped(path) for path in paths]
    counts: Counter[str] = sum((counts_of(file) for file in files), Counter())
    batches = (file.get_batch(index) for file in files for index in range(file.num_record_batches))
    _write(target, batches, counts)
    for path in paths:
        path.unlink()


def write_documents(shard: Path, target: Path) -> None:
    """The shard's documents without their text and metadata."""
    table = pq.read_table(shard, columns=DOCUMENT_COLUMNS)
    partial = target.with_suffix(".partial")
    # Not compressed: compressed columns could not be read in place.
    with pa.ipc.new_file(partial, table.schema) as writer:
        writer.write_table(table)
    settle(partial, target)


def open_mapped(path: Path) -> pa.ipc.RecordBatchFileReader:
    """A file of record batches; what is read from it stays on the disk until it is used."""
    return pa.ipc.open_file(pa.memory_map(str(path)))


def counts_of(file: pa.ipc.RecordBatchFileReader) -> Counter[str]:
    """Chunks left out, by reason, and ``titles_cut``."""
    return Counter(json.loads(file.schema.metadata[_COUNTS]))


def _write(path: Path, batches: Iterable[pa.RecordBatch], counts: Counter[str]) -> None:
    schema = CHUNKS_SCHEMA.with_metadata({_COUNTS: json.dumps(counts, sort_keys=True)})
    partial = path.with_suffix(".partial")
    with pa.ipc.new_file(partial, schema) as writer:
        for batch in batches:
            writer.write_batch(batch.replace_schema_metadata(schema.metadata))
    settle(partial, path)

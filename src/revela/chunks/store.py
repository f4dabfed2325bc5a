"""All chunks of a corpus by number: figures in memory, text on the disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from revela.chunks.chunk import Chunk, chunk_id
from revela.chunks.files import CHUNKS_SCHEMA, DOCUMENT_COLUMNS, counts_of, open_mapped
from revela.errors import RevelaError

_CHUNK_COLUMNS = [name for name in CHUNKS_SCHEMA.names if name not in ("document", "key")]


class ChunkStore:
    """Chunks 0 to n - 1 in the order of their documents, and along each document.

    The arrays take 18 bytes a chunk. All else stays in files that are mapped into memory: the system
    reads a page when it is used, and takes it back when memory is short.

    Attributes:
        document: (n,) int32, number of the chunk's document in the corpus, ascending.
        source: (n,) int16, index into `sources`.
        sources: names of the sources, in the order in which they first occur.
        tokens: (n,) int32, tokens of the text alone.
        key: (n,) uint64, equal for texts that differ in white space only, else different.
        documents: how many there are, those without a chunk included.
        dropped: chunks left out while cutting, by reason (see :class:`~revela.chunks.chunking.Chunker`).
        titles_cut: documents whose title was too long for a passage.

    Raises:
        RevelaError: `folder` has no chunks.
    """

    def __init__(self, folder: Path) -> None:
        paths = sorted(Path(folder).glob("chunks-*.arrow"))
        if not paths:
            raise RevelaError(f"{folder}: no chunks-*.arrow; write them first, with `write_chunks`.")
        self._folder = Path(folder)
        self._files = [open_mapped(path) for path in paths]
        names = (path.name.replace("chunks-", "documents-") for path in paths)
        self._document_files = [
            open_mapped(path.with_name(name)) for path, name in zip(paths, names, strict=True)
        ]
        self.sources: list[str] = []
        self._read_documents()
        self._read_chunks()
        counts = sum((counts_of(file) for file in self._files), Counter())
        self.titles_cut = counts.pop("titles_cut", 0)
        self.dropped = counts

    def _read_documents(self) -> None:
        codes: dict[str, int] = {}
        lengths, sources = [], []
        for file in self._document_files:
            for index in range(file.num_record_batches):
                batch = file.get_batch(index)
                lengths.append(len(batch))
                encoded = batch["source"].dictionary_encode()
                own = [codes.setdefault(name, len(codes)) for name in encoded.dictionary.to_pylist()]
                sources.append(np.array(own, np.int16)[encoded.indices.to_numpy()])
        self.sources = list(codes)
        self.documents = sum(lengths)
        self._source_of_document = np.concatenate([np.empty(0, np.int16), *sources])
        self._document_batches = _Rows(self._document_files)

    def _read_chunks(self) -> None:
        self._batches = _Rows(self._files)
        columns: dict[str, list[np.ndarray]] = {"document": [], "tokens": [], "key": []}
        offset = 0
        for file, documents in zip(self._files, self._document_files, strict=True):
            for index in range(file.num_record_batches):
                batch = file.get_batch(index)
                columns["document"].append(batch["document"].to_numpy() + np.int32(offset))
                columns["tokens"].append(batch["tokens"].to_numpy())
                columns["key"].append(batch["key"].to_numpy())
            offset += sum(
                documents.get_batch(index).num_rows for index in range(documents.num_record_batches)
            )
        types = {"document": np.int32, "tokens": np.int32, "key": np.uint64}
        document, tokens, key = (
            np.concatenate([np.empty(0, types[name]), *parts]) for name, parts in columns.items()
        )
        self.document, self.tokens, self.key = document, tokens, key
        self.source = self._source_of_document[document]

    def __len__(self) -> int:
        return len(self.tokens)

    def __reduce__(self) -> tuple[type[ChunkStore], tuple[Path]]:
        # Another process maps the same files.
        return ChunkStore, (self._folder,)

    def texts(self, numbers: np.ndarray) -> list[str]:
        """Texts of chunks, given in any order."""
        return self._batches.gather(numbers, ["text"])["text"]

    def iter_texts(self, numbers: np.ndarray, batch: int) -> Iterator[list[str]]:
        """Texts of chunks, `batch` at a time."""
        for start in range(0, len(numbers), batch):
            yield self.texts(numbers[start : start + batch])

    def document_ids(self, numbers: np.ndarray) -> list[str]:
        """Ids of the documents that these chunks were cut from."""
        return self._documents_of(numbers, ["id"])["id"]

    def chunks(self, numbers: np.ndarray) -> list[Chunk]:
        """Chunks given in any order; many in one call cost less than one by one."""
        columns = self._documents_of(numbers, DOCUMENT_COLUMNS)
        columns["document_id"] = columns.pop("id")
        columns |= self._batches.gather(numbers, _CHUNK_COLUMNS)
        columns["chunk_id"] = [
            chunk_id(*place)
            for place in zip(columns["document_id"], columns["start_byte"], columns["end_byte"], strict=True)
        ]
        in_order = (columns[field.name] for field in fields(Chunk))
        return [Chunk(*values) for values in zip(*in_order, strict=True)]

    def _documents_of(self, numbers: np.ndarray, columns: list[str]) -> dict[str, list[Any]]:
        documents, place = np.unique(self.document[np.asarray(numbers, np.int64)], return_inverse=True)
        values = self._document_batches.gather(documents, columns)
        return {name: [of[index] for index in place.tolist()] for name, of in values.items()}


class _Rows:
    """Rows of several files of record batches, numbered through."""

    def __init__(self, files: list[pa.ipc.RecordBatchFileReader]) -> None:
        self._files = files
        self._places = [
            (file, index) for file, reader in enumerate(files) for index in range(reader.num_record_batches)
        ]
        lengths = [files[file].get_batch(index).num_rows for file, index in self._places]
        self._first = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])

    def gather(self, numbers: np.ndarray, columns: list[str]) -> dict[str, list[Any]]:
        """Values of some columns in the order of `numbers`; each record batch is opened once."""
        numbers = np.asarray(numbers, np.int64)
        order = np.argsort(numbers, kind="stable")
        ascending = numbers[order]
        found: dict[str, list[Any]] = {name: [] for name in columns}
        edges = np.searchsorted(ascending, self._first)
        for batch in np.flatnonzero(np.diff(edges)):
            file, index = self._places[batch]
            rows = pa.array(ascending[edges[batch] : edges[batch + 1]] - self._first[batch])
            record_batch = self._files[file].get_batch(index)
            for name in columns:
                found[name].extend(record_batch[name].take(rows).to_pylist())
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        return {name: [values[place] for place in back.tolist()] for name, values in found.items()}

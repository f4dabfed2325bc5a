"""Parts: what became of one block, a Parquet file with a row for every record, kept or not.

Parts lie in a cache that outlives the stage: a run that was stopped goes on behind the last finished
part, and a corpus that grew filters only what is new.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from revela.files import explain_full_disk, settle

KEY_BYTES = 16
_UNUSED_SECONDS = 24 * 3600
_PARQUET_END = b"PAR1"


def part_schema(bands: int) -> pa.Schema:
    """Columns of a part; `bands` is the number of MinHash bands, 0 without near-duplicate search."""
    return pa.schema(
        [
            ("id", pa.string()),
            ("title", pa.string()),
            ("text", pa.string()),  # cleaned when kept, as read when dropped, empty when malformed
            ("source", pa.string()),
            ("kind", pa.string()),
            ("metadata", pa.string()),
            ("malformed", pa.bool_()),
            ("file", pa.string()),
            ("line", pa.int64()),
            ("reason", pa.string()),  # empty when kept
            ("detail", pa.string()),
            ("edits", pa.string()),  # what cleaners did, as JSON {name: count}; empty for nothing
            ("words_read", pa.int32()),
            ("words", pa.int32()),
            ("characters", pa.int64()),
            ("id_hash", pa.uint64()),
            ("key", pa.binary(KEY_BYTES)),
            ("bands", pa.binary(8 * bands) if bands else pa.null()),
        ]
    )


class PartCache:
    """Finished parts by digest, in one folder.

    Args:
        folder: made when missing; may be shared by runs at the same time.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)

    def path(self, digest: str) -> Path:
        return self.folder / f"{digest}.parquet"

    def has(self, digest: str) -> bool:
        """Whether the part is there and whole; if so, it counts as used now."""
        path = self.path(digest)
        with contextlib.suppress(OSError), open(path, "rb") as file:
            # A file that a crash of the machine cut short lacks Parquet's mark at its end.
            file.seek(-len(_PARQUET_END), os.SEEK_END)
            if file.read() == _PARQUET_END:
                os.utime(path)
                return True
        return False

    def put(self, digest: str, content: bytes) -> None:
        """Store a part, whole or not at all."""
        path = self.path(digest)
        partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
        try:
            with explain_full_disk(path):
                partial.write_bytes(content)
                settle(partial, path)
        finally:
            partial.unlink(missing_ok=True)

    def prune(self, used: Sequence[str]) -> int:
        """Remove parts that are not in `used` and that no run has touched for a day; returns how many."""
        keep = set(used)
        limit = time.time() - _UNUSED_SECONDS
        removed = 0
        for path in self.folder.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if path.name.removesuffix(".parquet") not in keep and path.stat().st_mtime < limit:
                    path.unlink()
                    removed += 1
        return removed

    def read(self, digest: str, columns: Sequence[str] | None = None) -> pa.Table:
        """A part, or some of its columns."""
        return pq.read_table(self.path(digest), columns=columns and list(columns), memory_map=True)


def fixed_binary(column: pa.ChunkedArray, width: int) -> np.ndarray:
    """A column of fixed-size binary values as (n, width // 8) uint64."""
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], column.type)
    buffer = array.buffers()[1]
    if buffer is None or len(array) == 0:
        return np.zeros((0, width // 8), np.uint64)
    flat = np.frombuffer(buffer, np.uint64, count=len(array) * width // 8, offset=array.offset * width)
    return flat.reshape(len(array), width // 8)

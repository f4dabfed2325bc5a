"""The cache of finished parts: whole files only, and nothing that another run may need is removed."""

from __future__ import annotations

import io
import os
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from revela.corpus.parts import PartCache, fixed_binary


def part(rows: int = 3) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"id": [str(row) for row in range(rows)]}), buffer)
    return buffer.getvalue()


@pytest.fixture
def cache(tmp_path: Path) -> PartCache:
    return PartCache(tmp_path / "cache")


def test_what_was_put_is_there_and_can_be_read(cache: PartCache) -> None:
    assert not cache.has("a")
    cache.put("a", part())
    assert cache.has("a")
    assert cache.read("a", ["id"])["id"].to_pylist() == ["0", "1", "2"]
    assert [path.name for path in cache.folder.iterdir()] == ["a.parquet"]


@pytest.mark.parametrize("length", [0, 3, 100])
def test_a_part_that_was_cut_short_counts_as_missing(cache: PartCache, length: int) -> None:
    cache.put("a", part())
    cache.path("a").write_bytes(part()[:length])
    assert not cache.has("a")


def test_only_what_no_run_has_used_for_a_day_is_removed(cache: PartCache) -> None:
    for digest in ("used", "fresh", "old", "touched"):
        cache.put(digest, part())
    two_days_ago = time.time() - 2 * 24 * 3600
    for digest in ("used", "old", "touched"):
        os.utime(cache.path(digest), (two_days_ago, two_days_ago))
    assert cache.has("touched")
    assert cache.prune(["used"]) == 1
    assert sorted(path.stem for path in cache.folder.iterdir()) == ["fresh", "touched", "used"]


def test_binary_columns_become_numbers_whatever_their_chunks() -> None:
    values = [np.arange(start, start + 2, dtype=np.uint64).tobytes() for start in range(0, 12, 2)]
    column = pa.chunked_array([values[:2], values[2:]], pa.binary(16))
    assert fixed_binary(column, 16).ravel().tolist() == list(range(12))
    assert fixed_binary(column.slice(1, 4), 16).ravel().tolist() == list(range(2, 10))
    assert fixed_binary(column.slice(0, 0), 16).shape == (0, 2)

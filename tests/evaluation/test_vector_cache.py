"""Vectors on disk: found again, bounded, and never a reason to fail."""

import os
from pathlib import Path

import numpy as np
import pytest

from revela.evaluation.vector_cache import VectorCache


def vectors(*firsts: float) -> np.ndarray:
    return np.array([[first, 1.0, 2.0] for first in firsts], np.float32)


def test_what_was_written_is_read_by_text_whatever_the_order(tmp_path: Path):
    cache = VectorCache(tmp_path / "vectors")
    assert cache.read("key", ["a"]) == {}
    cache.write("key", ["a", "b"], vectors(1, 2))
    cache.write("key", ["c"], vectors(3))
    found = VectorCache(tmp_path / "vectors").read("key", ["c", "x", "a", "c"])
    assert {index: vector[0] for index, vector in found.items()} == {0: 3, 2: 1, 3: 3}
    assert cache.read("another key", ["a"]) == {}


def test_what_was_not_read_for_longest_goes_first(tmp_path: Path):
    cache = VectorCache(tmp_path)
    for age, key in enumerate("abc"):
        cache.write(key, ["text"], vectors(1))
        (file,) = (tmp_path / key).iterdir()
        os.utime(file, (100 + age, 100 + age))
    assert cache.read("a", ["text"]), "which makes it the youngest"
    VectorCache(tmp_path, limit_bytes=3 * file.stat().st_size).write("d", ["text"], vectors(1))
    assert [key for key in "abcd" if cache.read(key, ["text"])] == ["a", "c", "d"]


def test_nothing_is_kept_that_is_larger_than_the_limit(tmp_path: Path):
    VectorCache(tmp_path, limit_bytes=10).write("key", ["a"], vectors(1))
    assert list(tmp_path.glob("*/*")) == []


def test_a_broken_file_is_removed_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    cache = VectorCache(tmp_path)
    cache.write("key", ["a"], vectors(1))
    cache.write("key", ["b"], vectors(2))
    first = sorted((tmp_path / "key").iterdir())[0]
    first.write_bytes(first.read_bytes()[:-3])
    assert len(cache.read("key", ["a", "b"])) == 1
    assert "cannot be read and is removed" in caplog.text and not first.exists()


def test_a_folder_that_cannot_be_written_costs_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    (tmp_path / "file").touch()
    VectorCache(tmp_path / "file").write("key", ["a"], vectors(1))
    assert "vectors are not kept" in caplog.text

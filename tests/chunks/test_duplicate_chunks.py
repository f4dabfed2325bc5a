"""Chunks that repeat an earlier one."""

from __future__ import annotations

import random
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from revela.chunks import duplicates
from revela.chunks.duplicates import duplicate_of
from revela.chunks.writer import write_chunks
from revela.corpus.schema import DOCUMENT_SCHEMA, Document
from revela.corpus.shards import ShardWriter
from revela.settings import BatchesSettings


def text(seed: int, words: int = 70) -> str:
    generator = random.Random(seed)
    return " ".join(f"w{generator.randrange(2000)}" for _ in range(words))


def changed(original: str, *places: int) -> str:
    words = original.split()
    for place in places:
        words[place] = "other"
    return " ".join(words)


@pytest.fixture
def store(tmp_path: Path, tokenizer_dir: Path, request: pytest.FixtureRequest):
    """One chunk a text."""
    (tmp_path / "documents").mkdir()
    with ShardWriter(tmp_path / "documents", "documents", DOCUMENT_SCHEMA) as writer:
        for number, each in enumerate(request.param):
            writer.write(asdict(Document(str(number), "", each, "s", "text")), len(each))
    settings = BatchesSettings(chunk_tokens=1000, min_chunk_tokens=4)
    found = write_chunks(settings, tmp_path / "documents", tokenizer_dir, tmp_path / "store")
    assert len(found) == len(request.param)
    return found


TEXTS = [text(0), text(1), text(0).replace(" ", "\n "), changed(text(1), 20, 50), text(2), text(1)]


@pytest.mark.parametrize("store", [TEXTS], indirect=True)
def test_later_copies_are_exact_or_near(store, tmp_path: Path) -> None:
    exact, near = duplicate_of(store, 0.8, tmp_path)
    assert np.flatnonzero(exact).tolist() == [2, 5]
    assert np.flatnonzero(near).tolist() == [3], "two of seventy words differ"
    exact, near = duplicate_of(store, None, tmp_path)
    assert np.flatnonzero(exact).tolist() == [2, 5] and not near.any()


@pytest.mark.parametrize("store", [[text(0), changed(text(0), *range(5, 70, 10))]], indirect=True)
def test_what_differs_more_stays(store, tmp_path: Path) -> None:
    assert not duplicate_of(store, 0.8, tmp_path)[1].any()


MANY = [changed(text(seed // 2), *([30] if seed % 2 else [])) for seed in range(200)]


@pytest.mark.parametrize("store", [MANY], indirect=True)
def test_several_processes_find_the_same_and_leave_nothing_behind(
    store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr(duplicates, "_AT_ONCE", 64)
    for workers in (1, 2):
        _, near = duplicate_of(store, 0.8, tmp_path, workers)
        assert near.tolist() == [bool(number % 2) for number in range(200)]
    assert sorted(tmp_path.iterdir()) == before

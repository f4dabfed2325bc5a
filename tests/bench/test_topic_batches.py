"""The benchmark of topic batches from end to end, tiny, and its parts."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from bench.topic_batches import (
    CHUNKS_A_DOCUMENT,
    WORDS_A_CHUNK,
    growth,
    main,
    make_chunks,
    measure,
    real_documents,
)
from revela.groups import related_groups

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="peak memory on the CPU is read from Linux's /proc"
)


@needs_proc
def test_a_tiny_run_writes_rows_and_a_table(tmp_path: Path) -> None:
    main(sizes="320,640", corpus=None, exact_up_to=320, out=tmp_path)
    result = json.loads((tmp_path / "topic_batches.json").read_text())
    small, large = result["rows"]
    assert (small["chunks"], large["chunks"]) == (320, 640)
    assert small["relatedness"] > 1.3 * small["random"]
    assert small["exact"] == small["relatedness"] and "exact" not in large
    for row in (small, large):
        assert row["groups"] * 16 + row["no_relatives"] == row["chunks"]
        assert row["total_s"] == pytest.approx(sum(row["seconds"].values()), abs=0.01)
    table = (tmp_path / "topic_batches.md").read_text()
    assert "the standard library" in table and "Extrapolated, not measured" in table


@needs_proc
def test_leaves_are_timed_and_measured_against_all_similarities(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(related_groups, "LEAF", 250)
    row = measure(real_documents(None), 800, exact=True)
    assert all(row["seconds"][step] > 0 for step in ("counting", "projecting", "clustering", "grouping"))
    assert 0.7 * row["exact"] < row["relatedness"] <= row["exact"]
    assert related_groups.LEAF == 250


def test_chunks_are_real_first_and_then_new_mixtures_of_real_lines(tmp_path: Path) -> None:
    corpus = tmp_path / "texts.jsonl.gz"
    lines = [[f"line{document}x{number} " * 10 for number in range(30)] for document in range(5)]
    with gzip.open(corpus, "wt") as file:
        file.writelines(json.dumps({"text": "\n\n".join(each)}) + "\n" for each in lines)
    documents = real_documents(corpus)
    assert [[line.strip() for line in each] for each in documents] == [
        [line.strip() for line in each] for each in lines
    ]
    chunks, numbers = make_chunks(documents, 60)
    assert len(chunks) == len(numbers) == 60 and max(numbers) > 5
    assert all(len(chunk.split(" ")) == WORDS_A_CHUNK for chunk in chunks)
    assert {line for chunk in chunks for line in chunk.split() if line != "\n"} <= {
        line.split()[0] for each in lines for line in each
    }
    assert all((numbers == number).sum() <= CHUNKS_A_DOCUMENT for number in set(numbers))
    assert len(set(chunks)) == 60
    assert make_chunks(documents, 60)[0] == chunks


def test_a_million_is_never_thought_cheaper_than_in_proportion() -> None:
    seconds = dict.fromkeys(("counting", "projecting", "clustering", "grouping"), 1.0)
    rows = [
        {"chunks": 10_000, "total_s": 10.0, "peak_mb": 500.0, "seconds": seconds},
        {"chunks": 100_000, "total_s": 200.0, "peak_mb": 600.0, "seconds": seconds},
    ]
    found = growth(rows)
    assert found["total_s"]["exponent"] == pytest.approx(1.301, abs=1e-3)
    assert found["total_s"]["extrapolated"] == pytest.approx(4000, rel=1e-2)
    assert found["peak_mb"]["extrapolated"] == 6000

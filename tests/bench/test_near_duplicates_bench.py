"""The benchmark of near-duplicate search, tiny, from end to end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("datasketch", reason="the benchmark compares with datasketch: pip install datasketch")

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="peak memory is read from Linux's /proc"
)


def bench(out: Path, *arguments: str) -> dict:
    command = [sys.executable, "-m", "bench.near_duplicates", *arguments, f"--out={out}"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return json.loads(out.read_text())


def test_ours_and_datasketch_are_measured_on_the_same_texts(tmp_path: Path) -> None:
    rows = bench(tmp_path / "rows.json", "--texts=150", "--planted=60", "--repeats=1")["rows"]
    assert [row["impl"] for row in rows] == ["ours", "datasketch, update", "datasketch, update_batch"]
    assert {(row["texts"], row["planted"]) for row in rows} == {(210, rows[0]["planted"])}
    assert rows[0]["planted"] >= 20
    assert rows[0]["recall"] >= 0.98 and rows[0]["precision"] == 1
    for row in rows:
        assert row["seconds"] > 0 and 0 <= row["recall"] <= 1 and 0 <= row["precision"] <= 1


def test_growth_finds_the_planted_copies_of_every_size(tmp_path: Path) -> None:
    result = bench(tmp_path / "rows.json", "--growth=200,400")
    assert [(row["texts"], row["dropped"]) for row in result["rows"]] == [(200, 10), (400, 20)]
    assert set(result["exponents"]) == {"sign_s", "search_s", "search_mb"}

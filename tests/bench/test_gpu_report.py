"""From the rows of runs on a GPU to one page."""

from __future__ import annotations

import json
import random

import pytest

from bench.gpu.compared import comparisons, over_seeds
from bench.gpu.report import write_report
from bench.gpu.store import PER_QUERY, Store, read_lines
from revela.errors import RevelaError

ABOUT = {"card": "NVIDIA H200", "torch": "2.11", "transformers": "5.17"}
MEANS = {"contrastive": (0.25, 0.26, 0.27), "revela": (0.30, 0.32, 0.34)}


@pytest.fixture
def out(tmp_path):
    """A run with three seeds of two methods, 200 queries; revela is better on each of them."""
    store = Store(tmp_path / "run-1", ABOUT)
    draw = random.Random(0)
    hardness = [draw.uniform(-0.2, 0.2) for _ in range(200)]

    def score(method, seed, mean):
        run = f"bare: {method}, seed {seed}"
        about = {"step": run, "experiment": "bare", "method": method, "seed": seed, "run": run}
        store.add_per_query(run, "docstrings", [mean + hard + draw.gauss(0, 0.02) for hard in hardness])
        if method != "start":
            middle = {"docstrings": mean - 0.1}
            store.add(kind="probe", **about, groups=500, training_s=10.0 + seed, ndcg=middle)
            store.add(kind="probe", **about, groups=1000, training_s=20.0 + seed, ndcg={"docstrings": mean})
        store.add(kind="score", **about, groups=1000, training_s=20.0 + seed, ndcg={"docstrings": mean})

    score("start", 0, 0.02)
    for method, means in MEANS.items():
        for seed, mean in enumerate(means, start=1):
            score(method, seed, mean)
    store.add(kind="speed", step="speed", what="joint, B = 16", step_s=0.02)
    store.add(kind="bm25", step="bm25", benchmark="docstrings", ndcg_at_10=0.433, origin="given")
    store.add(
        kind="step",
        step="parity golden",
        status="failed",
        error="OSError: no /home/x/lm.gguf",
        traceback="File /home/x",
    )
    return tmp_path / "run-1"


def test_the_first_rows_are_the_laboratorys_and_marked_as_such(out, tmp_path):
    page = write_report([out], tmp_path / "results").read_text()
    rows = json.loads((tmp_path / "results" / "results.json").read_text())["rows"]
    sources = [row["source"] for row in rows]
    assert sources[0] == "laboratory loop" and set(sources) == {"laboratory loop", "run-1"}
    assert sources == sorted(sources), "all of them come before the run's"
    laboratory = next(
        line for line in page.splitlines() if line.startswith("| laboratory loop | bare | revela")
    )
    assert "| 960 |" in laboratory and "| 0.276 | 0.320 | 0.255 |" in laboratory


def test_without_a_run_the_page_has_the_laboratorys_figures_alone(tmp_path):
    page = write_report([], tmp_path / "results").read_text()
    assert "| laboratory loop | NVIDIA H100 | 2.11 | 5.17 |" in page and "this run" not in page
    assert not (tmp_path / "results" / "learning.png").exists()


def test_the_page_has_every_table_and_the_picture(out, tmp_path):
    page = write_report([out], tmp_path / "results").read_text()
    assert "| run-1 | bare | contrastive | 3 | 1000 | 22 | 0.260 ± 0.010 |" in page
    assert "| run-1 | bare | revela | 3 | 1000 | 22 | 0.320 ± 0.020 |" in page
    assert "| run-1 | bare: revela, seed 2 | 500 | 12 | 0.22 |" in page
    assert "| run-1 | docstrings | 0.433 | given |" in page
    assert "| run-1 | NVIDIA H200 | 2.11 | 5.17 |" in page
    assert "| run-1 | parity golden | failed |" in page and "OSError: no lm.gguf" in page
    assert (tmp_path / "results" / "learning.png").read_bytes()[1:4] == b"PNG"
    assert "![learning curves](learning.png)" in page


def test_places_of_the_machine_that_ran_stay_there(out, tmp_path):
    write_report([out], tmp_path / "results")
    assert "/home" not in (tmp_path / "results" / "results.json").read_text()


def test_several_runs_stand_beside_each_other(out, tmp_path):
    Store(tmp_path / "run-2", ABOUT).add(kind="speed", step="speed", what="joint, B = 64", step_s=0.05)
    page = write_report([out, tmp_path / "run-2"], tmp_path / "results").read_text()
    assert "| run-1 | joint, B = 16 |" in page and "| run-2 | joint, B = 64 |" in page


def test_a_folder_without_results_is_named(tmp_path):
    with pytest.raises(RevelaError, match=r"empty: no results\.jsonl"):
        write_report([tmp_path / "empty"], tmp_path / "results")


def test_methods_are_compared_query_by_query_over_their_seeds(out):
    rows, per_query = read_lines(out / "results.jsonl"), read_lines(out / PER_QUERY)
    found = {(row["a"], row["b"]): row for row in comparisons(rows, per_query, resamples=500)}
    assert set(found) == {("contrastive", "revela"), ("contrastive", "start"), ("revela", "start")}
    between = found["contrastive", "revela"]
    assert between["seeds"] == 3 and between["queries"] == 200
    assert between["difference"] == pytest.approx(-0.06, abs=0.01)
    assert between["low"] < between["difference"] < between["high"] < 0
    assert between["p"] < 0.05
    assert found["revela", "start"]["difference"] == pytest.approx(0.30, abs=0.01)


def test_only_seeds_that_both_methods_have_are_compared(out):
    rows = [row for row in read_lines(out / "results.jsonl") if row.get("run") != "bare: revela, seed 3"]
    found = {
        (row["a"], row["b"]): row for row in comparisons(rows, read_lines(out / PER_QUERY), resamples=500)
    }
    assert found["contrastive", "revela"]["seeds"] == 2
    assert found["contrastive", "start"]["seeds"] == 3


def test_a_run_that_was_done_again_counts_once(out):
    store = Store(out, ABOUT)
    again = {"experiment": "bare", "method": "revela", "seed": 3, "run": "bare: revela, seed 3"}
    store.add(kind="score", step="x", **again, groups=1000, training_s=20.0, ndcg={"docstrings": 0.31})
    (revela,) = [row for row in over_seeds(store.rows) if row["method"] == "revela"]
    assert revela["seeds"] == 3 and revela["ndcg"]["docstrings"][0] == pytest.approx(0.31)


def test_what_a_second_attempt_measured_takes_the_place_of_the_first(tmp_path):
    store = Store(tmp_path / "run", ABOUT)
    for step_s in (0.5, 0.4):
        store.add(kind="step", step="speed", status="begun")
        store.add(kind="speed", step="speed", what="joint, B = 16", step_s=step_s)
    page = write_report([tmp_path / "run"], tmp_path / "results").read_text()
    speed = [line for line in page.splitlines() if line.startswith("| run | joint, B = 16 |")]
    assert len(speed) == 1 and "0.4" in speed[0] and "0.5" not in speed[0]

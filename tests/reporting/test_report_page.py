"""The report of real files: an evaluation of toy models, a curve and two ablations."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from revela.ablations.table import write_table
from revela.errors import RevelaError
from revela.evaluation.report import compare_retriever, mean_metrics, per_query_table
from revela.evaluation.scoring import METRICS
from revela.files import write_json
from revela.reporting.gather import MAIN, gather
from revela.reporting.render import write_report
from revela.training.records import COLUMNS


def table(level: float, seed: int) -> pd.DataFrame:
    noise = np.random.default_rng(seed).normal(0, 0.05, (60, len(METRICS)))
    frame = pd.DataFrame(np.clip(level + noise, 0, 1), columns=list(METRICS))
    frame.insert(0, "query_id", [f"q{index:02}" for index in range(60)])
    return frame


def write_curve(path, values: dict[int, float], steps: int = 40) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        {"step": step, "phase": "contrastive", "tokens": 100, "probe_ndcg_at_10": values.get(step, "")}
        for step in range(steps)
    ]
    pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(path, index=False)


def write_evaluation(folder, scores) -> None:
    folder.mkdir(parents=True)
    write_json(folder / "metrics.json", mean_metrics(scores))
    write_json(folder / "comparisons.json", compare_retriever(scores, resamples=500, seed=0))
    per_query_table(scores).to_parquet(folder / "per_query.parquet", index=False)


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "results"
    models = {"bm25": table(0.6, 0), "untrained": table(0.1, 1), "retriever": table(0.4, 2)}
    scores = {"first": models, "second": {**models, "retriever": table(0.6, 3)}}
    write_evaluation(folder / "evaluate", scores)
    hit = {"rank": 1, "document": "a<b", "relevant": True, "text": "if a < b & c:"}
    example = {"benchmark": "first", "query_id": "q00", "query": "is <a> smaller?", "lead": 0.5,
               "relevant": {"a<b": "if a < b & c:"}, "hits": {"bm25": [hit], "retriever": [hit]}}  # fmt: skip
    write_json(folder / "evaluate" / "examples.json", [example])
    write_json(
        folder / "train" / "metrics.json", {"contrastive": {"steps": 40, "loss": 0.5, "tokens": 100.0}}
    )
    write_curve(folder / "train" / "curve.csv", {19: 0.3, 39: 0.4})
    return folder


def add_ablation(results, name: str, seed: int, level: float) -> None:
    folder = results / "ablations" / name / f"seed-{seed}"
    scores = {one: {"retriever": table(level, 10 + seed)} for one in ("first", "second")}
    folder.mkdir(parents=True)
    (folder / "evaluate").mkdir()
    write_json(folder / "evaluate" / "metrics.json", mean_metrics(scores))
    per_query_table(scores).to_parquet(folder / "evaluate" / "per_query.parquet", index=False)
    write_curve(folder / "train" / "curve.csv", {19: level / 2, 39: level})
    done = {"name": name, "seed": seed, "fingerprint": "x", "wall_s": 120.0, "steps": 40, "tokens": 4000}
    write_json(folder / "done.json", {**done, "train_run_id": None})


class Resources(HTMLParser):
    """What a browser would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.found += [value for key, value in attrs if key in ("src", "href")]


def test_one_file_without_a_network_and_its_twin(results):
    page = write_report(results, results / "report").read_text()
    resources = Resources()
    resources.feed(page)
    assert resources.found and all(one.startswith("data:image/png;base64,") for one in resources.found)
    assert "first: the retriever is worse than bm25" in page
    assert "better than untrained" in page
    assert "is &lt;a&gt; smaller?" in page and "if a &lt; b &amp; c:" in page
    twin = (results / "report" / "report.md").read_text()
    assert "| bm25 | 0." in twin and "is <a> smaller?" in twin
    assert "None has been run" in page and "None has been run" in twin
    for picture in re.findall(r"!\[.*\]\((.*)\)", twin):
        assert (results / "report" / picture).stat().st_size > 5000
    # Every table is one: header, rule and rows of as many cells, no line between them.
    for block in re.findall(r"(?:^\|.*\|\n)+", twin, re.MULTILINE):
        cells = {line.count("|") for line in block.splitlines()}
        assert len(cells) == 1 and len(block.splitlines()) >= 3


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        (
            {"state": "pairs", "because": "the best in validation", "validation": 0.5, "start": 0.25},
            "pairs{}: the best in validation, 0.5000 nDCG@10 after the start's 0.2500.",
        ),
        ({"state": "last", "because": "training.keep is last"}, "last{}: training.keep is last."),
    ],
)
def test_the_state_that_was_kept_is_no_phase_but_is_told(results, kept, said):
    trained = json.loads((results / "train" / "metrics.json").read_text())
    write_json(results / "train" / "metrics.json", {**trained, "kept": kept})
    page = write_report(results, results / "report").read_text()
    twin = (results / "report" / "report.md").read_text()
    assert f"<code>{said.format('</code>')}" in page and f"`{said.format('`')}" in twin
    assert "<td>kept</td>" not in page and "| kept |" not in twin


def test_what_was_tried_at_the_start_is_no_phase_but_is_told(results):
    trained = json.loads((results / "train" / "metrics.json").read_text())
    tried = {"identifiers": {"used": True, "with": 0.5, "without": 0.25}, "token_weights": {"used": False}}
    write_json(results / "train" / "metrics.json", {**trained, "beginning": tried})
    page = write_report(results, results / "report").read_text()
    twin = (results / "report" / "report.md").read_text()
    for text in (page, twin):
        assert "splitting identifiers was of use: 0.5000 with it, 0.2500 without." in text
        assert "weighting tokens by their rarity was of no use." in text
    assert "<td>beginning</td>" not in page and "| beginning |" not in twin


def test_ablations_are_compared_with_this_run_query_by_query(results):
    for seed in (0, 1):
        add_ablation(results, "worse-one", seed, 0.2)
    add_ablation(results, "other", 0, 0.6)
    write_table(results / "ablations", results / "evaluate" / "per_query.parquet")
    leads = {
        (row["name"], row["benchmark"]): row
        for row in json.loads((results / "ablations" / "leads.json").read_text())
    }
    assert {row["against"] for row in leads.values()} == {"retriever"}
    assert leads["worse-one", "first"]["verdict"] == "worse"
    assert leads["worse-one", "first"]["seeds"] == 2
    assert leads["worse-one", "first"]["lead"] == pytest.approx(-0.2, abs=0.02)
    assert leads["other", "first"]["verdict"] == "better"
    assert leads["other", "second"]["verdict"] == "not significant"
    table_md = (results / "ablations" / "table.md").read_text()
    assert re.search(r"\| worse-one \| 2 \| 0\.\d{4} ± 0\.\d{4} \(-0\.\d{4} \*\) \|", table_md)

    page = write_report(results, results / "report").read_text()
    assert "worse-one" in page and 'class="small worse">-0.2' in page
    assert {path.stem for path in (results / "report").glob("*.png")} == {
        "scores", "learning_curves", "ablations", "cost"
    }  # fmt: skip


def test_one_ablation_is_compared_with_another_over_the_seeds_that_both_have(results):
    for seed, level in ((0, 0.3), (1, 0.5)):
        add_ablation(results, "longer", seed, level)
    for seed in (1, 2):
        add_ablation(results, "better", seed, 0.6)
    found = results / "ablations"
    write_table(found, results / "evaluate" / "per_query.parquet", {"better": "longer", "longer": "not run"})
    leads = json.loads((found / "leads.json").read_text())
    pairs = {(row["name"], row["against"]) for row in leads}
    assert pairs == {("longer", "retriever"), ("better", "retriever"), ("better", "longer")}
    (row,) = [row for row in leads if row["against"] == "longer" and row["benchmark"] == "first"]
    # Seed 1 alone: 0.6 against 0.5 with the same noise.
    assert (row["seeds"], row["verdict"]) == (1, "better")
    assert row["lead"] == pytest.approx(0.1, abs=1e-3)
    text = (found / "table.md").read_text()
    assert re.search(r"\| better \| longer \| 1 \| \+0\.\d{4} \(\+0\.\d{4} to \+0\.\d{4}\), p = 0\.0", text)
    page = write_report(results, results / "report").read_text()
    # A lead over another ablation is in the picture, not in the column of leads over this run.
    assert page.count("+0.1000") == 0


def test_ablations_on_other_queries_are_not_compared(results):
    add_ablation(results, "short", 0, 0.2)
    path = results / "ablations" / "short" / "seed-0" / "evaluate" / "per_query.parquet"
    pd.read_parquet(path).iloc[5:].to_parquet(path)
    write_table(results / "ablations", results / "evaluate" / "per_query.parquet")
    leads = json.loads((results / "ablations" / "leads.json").read_text())
    assert [row["benchmark"] for row in leads] == ["second"]


def test_curves_count_tokens_and_spread_the_time(results):
    add_ablation(results, "other", 0, 0.6)
    write_table(results / "ablations", results / "evaluate" / "per_query.parquet")
    main, other = gather(results).curves
    assert (main.name, main.steps, main.tokens, main.seconds) == (MAIN, [20, 40], [2000, 4000], None)
    assert other.seconds == [60.0, 120.0]


def test_a_stage_that_has_not_run_is_named(tmp_path):
    with pytest.raises(RevelaError, match=r"comparisons\.json: no such file\. Run `dvc repro evaluate`"):
        write_report(tmp_path, tmp_path / "report")


def test_the_same_results_give_the_same_bytes(results):
    one = write_report(results, results.parent / "one").read_bytes()
    assert one == write_report(results, results.parent / "two").read_bytes()

"""The settings that are shipped, with small models, little text and two steps a phase: every stage runs."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from small_project import ROOT, Project, small_params


@pytest.fixture(scope="module")
def project(tmp_path_factory, causal_lm_folder: Path) -> Project:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    small = small_params(causal_lm_folder)
    params |= {"backbone": small["backbone"]}
    params["corpus"]["sources"][0]["names"] = ["click", "requests", "Flask"]
    params["batches"] |= {"max_groups": 20, "chunk_tokens": 48}
    params["batches"]["pairs"]["held_out"] = 0.3
    params["training"]["lora"]["lm"] = {"rank": 2}
    params["training"]["validation"] |= {"every": 1, "pairs": 20}
    params["training"]["probe"] = None
    for phase in params["training"]["phases"]:
        phase |= {"steps": 2, "warmup_steps": 0, "pairs": 8}
        phase |= {key: 4 for key in ("related_pairs", "lm_pairs") if key in phase}
    params["evaluate"] |= {"benchmarks": [{"kind": "docstrings", "limit": 30}], "max_tokens": 64}
    made = Project(tmp_path_factory.mktemp("shipped"), params)
    made.output = made.run("dvc", "repro")
    return made


def test_every_stage_runs_and_every_state_is_in_the_table(project):
    scores = project.json("results/evaluate/metrics.json")["docstrings"]
    trained = project.json("results/train/metrics.json")
    begun = {f"after_{name}" for name, answer in trained["beginning"].items() if answer["used"]}
    assert set(trained["beginning"]) == {"identifiers", "token_weights"}
    assert set(scores) == begun | {
        "bm25", "bm25_identifiers", "untrained", "after_pairs", "after_words", "after_revela", "retriever",
        "hybrid",
    }  # fmt: skip


def test_the_page_tells_what_was_decided_on_the_way(project):
    page = (project.folder / "results/report/report.md").read_text()
    kept = project.json("results/train/metrics.json")["kept"]
    assert f"The retriever is the state `{kept['state']}`" in page
    assert "At the start splitting identifiers was of" in page
    assert "At the start weighting tokens by their rarity was of" in page


def test_next_token_prediction_reaches_the_retriever_half_as_long_as_the_pairs_do(project):
    figures = project.json("results/train/metrics.json")["revela"]
    assert figures["gradient_contrastive"] > 0 and figures["gradient_revela"] > 0
    assert figures["conditioned_loss"] > 0

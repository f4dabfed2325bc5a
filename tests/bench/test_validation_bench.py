"""Correlations of validation with real benchmarks, from what trainings report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.validation import ALL, correlations, main, states
from revela.errors import RevelaError


def report(folder: Path, probes: list[float | None], **kinds: list[float]) -> Path:
    """A training of one step a state, whose start was measured, too."""
    folder.mkdir()
    measured = [
        {"state": "phase", "step": step, "validation": sum(scores) / len(scores),
         "scores": dict(zip(kinds, scores, strict=True))}
        for step, scores in enumerate(zip(*kinds.values(), strict=True))
    ]  # fmt: skip
    measured.append({**measured[-1], "state": "phase, 0.5 of the start"})
    (folder / "metrics.json").write_text(json.dumps({"kept": {"measured": measured}}))
    rows = [f"{step},{'' if probe is None else probe}" for step, probe in enumerate(probes)]
    (folder / "curve.csv").write_text("\n".join(["step,probe_ndcg_at_10", *rows]) + "\n")
    return folder


def test_states_are_those_that_both_measured(tmp_path):
    folder = report(tmp_path / "a", [0.5, None, 0.7], title=[0.1, 0.2, 0.3, 0.4])
    assert [(one.step, one.kinds["title"], one.probe) for one in states("a", folder)] == [
        (1, 0.2, 0.5), (3, 0.4, 0.7),
    ]  # fmt: skip


def test_a_kind_that_rises_with_the_benchmark_has_1_and_one_that_falls_minus_1(tmp_path):
    one = report(tmp_path / "a", [0.5, 0.6, 0.7], title=[0.0, 0.1, 0.2, 0.3], halves=[0.9, 0.8, 0.4, 0.3])
    other = report(tmp_path / "b", [0.5, 0.7, 0.6], title=[0.0, 0.1, 0.9, 0.3])
    found = correlations([*states("a", one), *states("b", other)])
    assert found.loc["title"].tolist() == [1, 1]
    assert found.loc["halves", "a"] == -1 and found.loc["halves"].isna()["b"]

    main([f"a={one}", f"b={other}"], out=tmp_path)
    table = (tmp_path / "validation.md").read_text()
    assert "6 states of 2 trainings" in table and "| pairs | a (3) | b (3) | mean |" in table
    assert "| title | 1.00 | 1.00 | 1.00 |" in table and "| halves | -1.00 |  | -1.00 |" in table
    assert f"| {ALL} |" in table


def test_a_training_without_a_probe_is_refused(tmp_path):
    folder = report(tmp_path / "a", [None, None], title=[0.1, 0.2, 0.3])
    with pytest.raises(RevelaError, match="no state was measured by validation and probe"):
        states("a", folder)

"""What there is to report: read from the files that the stages and `revela ablate` left."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from revela.errors import RevelaError
from revela.evaluation.report import SUBJECT
from revela.training.records import read_rows

PROBE = "probe_ndcg_at_10"
MAIN = "this run"


@dataclass(frozen=True)
class Curve:
    """Quality while one training went on.

    Attributes:
        name: of the ablation, or :data:`MAIN`.
        steps, tokens, values: of every measurement; tokens are summed from the start.
        seconds: of training up to it; None where that was not measured.
    """

    name: str
    seed: int | None
    steps: list[int]
    tokens: list[float]
    seconds: list[float] | None
    values: list[float]


@dataclass(frozen=True)
class Reported:
    """Everything that the report shows.

    Attributes:
        means: columns benchmark, model, mean, low, high (95 % over queries).
        comparisons: the content of comparisons.json.
        metrics: benchmark -> model -> metric -> mean.
        training: phase -> figure -> value, means over the phase's last steps.
        examples: from :mod:`revela.evaluation.examples`.
        curves: of this run and of every ablation that a probe watched.
        ablations: the rows of the ablations' table.json for retrievers.
        leads: the rows of the ablations' leads.json.
        lm_check: the language model's perplexity before and after, where it was measured.
        kept: which state of the training is the retriever, and why.
        beginning: what was tried before the first phase, and what validation said of it.
    """

    means: pd.DataFrame
    comparisons: dict[str, Any]
    metrics: dict[str, dict[str, dict[str, float]]]
    training: dict[str, dict[str, float]]
    examples: list[dict[str, Any]]
    curves: list[Curve] = field(default_factory=list)
    ablations: list[dict[str, Any]] = field(default_factory=list)
    leads: list[dict[str, Any]] = field(default_factory=list)
    lm_check: dict[str, float] | None = None
    kept: dict[str, Any] | None = None
    beginning: dict[str, dict[str, Any]] = field(default_factory=dict)


def gather(results: Path) -> Reported:
    """Read `results` as `dvc repro` and, perhaps, `revela ablate` leave it.

    Raises:
        RevelaError: a stage has not run.
    """
    comparisons = _json(results / "evaluate" / "comparisons.json", "evaluate")
    ablations = results / "ablations"
    training = _json(results / "train" / "metrics.json", "train")
    return Reported(
        means=pd.DataFrame(comparisons["means"]),
        comparisons=comparisons,
        metrics=_json(results / "evaluate" / "metrics.json", "evaluate"),
        training=training,
        lm_check=training.pop("lm_check", None),
        kept=training.pop("kept", None),
        beginning=training.pop("beginning", {}),
        examples=_json(results / "evaluate" / "examples.json", "evaluate"),
        curves=[
            *_curve(results / "train" / "curve.csv", MAIN, None, None),
            *(curve for path in sorted(ablations.glob("*/seed-*/done.json")) for curve in _of_ablation(path)),
        ],
        ablations=[row for row in _optional(ablations / "table.json") if row["model"] == SUBJECT],
        leads=_optional(ablations / "leads.json"),
    )


def _of_ablation(done: Path) -> list[Curve]:
    found = json.loads(done.read_text(encoding="utf-8"))
    return _curve(done.parent / "train" / "curve.csv", found["name"], found["seed"], found["wall_s"])


def _curve(path: Path, name: str, seed: int | None, wall_s: float | None) -> list[Curve]:
    """The measurements in a curve.csv; time is spread over the steps by their tokens."""
    rows = read_rows(path)
    if not any(row.get(PROBE) for row in rows):
        return []
    total = sum(float(row["tokens"]) for row in rows)
    steps, tokens, values, read = [], [], [], 0.0
    for row in rows:
        read += float(row["tokens"])
        if row.get(PROBE):
            steps.append(int(row["step"]) + 1)
            tokens.append(read)
            values.append(float(row[PROBE]))
    seconds = None if wall_s is None else [wall_s * count / total for count in tokens]
    return [Curve(name, seed, steps, tokens, seconds, values)]


def _json(path: Path, stage: str) -> Any:
    if not path.is_file():
        raise RevelaError(
            f"{path}: no such file. Run `dvc repro {stage}` first (`make repro` runs all stages)."
        )
    return json.loads(path.read_text(encoding="utf-8"))


def _optional(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []

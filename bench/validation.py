"""Which kind of held-out pairs tells how good a retriever is on real questions?

``python -m bench.validation cranfield=FOLDER code=FOLDER ...`` reads the reports of trainings
(``results/train``) whose probe is a real benchmark and as frequent as their validation, and writes
bench/results/validation.md: for every corpus and kind, Spearman's correlation of the two over all states in
which both were measured.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NamedTuple

import pandas as pd
import typer

from bench.tables import publish
from revela.errors import RevelaError
from revela.files import read_json
from revela.training.keeping import MEAN
from revela.training.records import read_rows

ALL = "all kinds"


class Measured(NamedTuple):
    """One state of one training.

    Attributes:
        kinds: kind of pair -> nDCG@10 of its held-out pairs; :data:`ALL` is the one that decides.
        probe: nDCG@10 on real questions.
    """

    corpus: str
    step: int
    kinds: dict[str, float]
    probe: float


def states(corpus: str, folder: Path) -> list[Measured]:
    """The states of a training that validation and probe both measured.

    Args:
        folder: with ``metrics.json`` and ``curve.csv``.

    Raises:
        RevelaError: no report, or nothing was measured by both.
    """
    kept = read_json(folder / "metrics.json").get("kept", {})
    # A row is what came out of a step, so the state after it; validation counts steps that were taken.
    probes = {int(row["step"]) + 1: row["probe_ndcg_at_10"] for row in read_rows(folder / "curve.csv")}
    found = [
        Measured(corpus, one["step"], {**one["scores"], ALL: one["validation"]}, float(probes[one["step"]]))
        for one in kept.get("measured", [])
        if "of the start" not in one["state"] and one["state"] != MEAN and probes.get(one["step"])
    ]
    if not found:
        raise RevelaError(
            f"{folder}: no state was measured by validation and probe; train with `training.probe.every` as "
            "large as `training.validation.every`."
        )
    return found


def correlations(measured: list[Measured]) -> pd.DataFrame:
    """Spearman's correlation with the probe: kinds down, corpora across; NaN where a corpus lacks a kind."""
    columns = {}
    for corpus in dict.fromkeys(one.corpus for one in measured):
        own = [one for one in measured if one.corpus == corpus]
        table = pd.DataFrame([one.kinds for one in own])
        columns[corpus] = table.corrwith(pd.Series([one.probe for one in own]), method="spearman")
    return pd.DataFrame(columns)


def main(
    reports: Annotated[list[str], typer.Argument(help="CORPUS=FOLDER, the report of a training each.")],
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("bench/results"),
) -> None:
    """Correlate validation by held-out pairs with real benchmarks, over the states of trainings."""
    named = [report.partition("=") for report in reports]
    measured = [state for corpus, _, folder in named for state in states(corpus, Path(folder))]
    table = correlations(measured)
    counts = pd.Series([one.corpus for one in measured]).value_counts()
    table = table.assign(mean=table.mean(axis=1)).sort_values("mean", ascending=False)
    heads = [*(f"{corpus} ({counts[corpus]})" for corpus in table.columns[:-1]), "mean"]
    rows = [
        f"| {kind} | " + " | ".join("" if pd.isna(value) else f"{value:.2f}" for value in row) + " |"
        for kind, row in zip(table.index, table.to_numpy(), strict=True)
    ]
    text = "\n".join([
        "# Which held-out pairs predict real questions\n",
        f"Spearman's correlation of nDCG@10 on held-out pairs with nDCG@10 on a real benchmark, over "
        f"{len(measured)} states of {len(counts)} trainings (how many of each in brackets).\n",
        f"| pairs | {' | '.join(heads)} |\n|---|{'---:|' * len(heads)}",
        *rows,
    ])  # fmt: skip
    publish(text + "\n", out, "validation")


if __name__ == "__main__":
    typer.run(main)

"""All finished ablations in one table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from revela.ablations.leads import leads
from revela.evaluation.report import PRIMARY, SUBJECT
from revela.files import atomic_write_text, write_json

DONE = "done.json"


def write_table(
    results: Path, reference: Path, against: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    """Write ``table.json``, ``leads.json`` and ``table.md`` from what lies in `results`.

    Args:
        reference: per-query scores of the stage evaluate, for the leads.
        against: ablation -> another one that it is compared with as well.

    Returns:
        The rows of table.json: name, seed, benchmark, model, ndcg_at_10, wall_s (of the training's
        steps), tokens, steps; a row for every model of every finished run.
    """
    rows = []
    for path in sorted(results.glob(f"*/seed-*/{DONE}")):
        done = json.loads(path.read_text(encoding="utf-8"))
        scores = json.loads((path.parent / "evaluate" / "metrics.json").read_text(encoding="utf-8"))
        rows += [
            {
                "name": done["name"],
                "seed": done["seed"],
                "benchmark": benchmark,
                "model": model,
                PRIMARY: metrics[PRIMARY],
                "wall_s": done["wall_s"],
                "tokens": done["tokens"],
                "steps": done["steps"],
            }
            for benchmark, models in scores.items()
            for model, metrics in models.items()
        ]
    found = leads(results, reference, against)
    write_json(results / "table.json", rows)
    write_json(results / "leads.json", found)
    atomic_write_text(results / "table.md", markdown(rows, found))
    return rows


def markdown(rows: list[dict[str, Any]], found: list[dict[str, Any]]) -> str:
    """The retriever's mean nDCG@10 over seeds, a line an ablation and a column a benchmark.

    A spread is the standard deviation over seeds (n - 1), given from two seeds on. In brackets the lead over
    the retriever of the stage evaluate, with a star where it is significant. Below,
    one ablation against another.
    """
    if not rows:
        return "No ablation is finished.\n"
    table = pd.DataFrame(rows)
    table = table[table["model"] == SUBJECT]
    lead_of = {(row["name"], row["benchmark"]): row for row in found if row["against"] == SUBJECT}
    benchmarks = list(dict.fromkeys(table["benchmark"]))
    lines = [
        f"| ablation | seeds | {' | '.join(benchmarks)} | steps | training, s |",
        f"|---|---:|{'---:|' * len(benchmarks)}---:|---:|",
    ]
    for name, mine in table.groupby("name", sort=False):
        cells = [
            _mean(mine.loc[mine["benchmark"] == benchmark, PRIMARY]) + _lead(lead_of.get((name, benchmark)))
            for benchmark in benchmarks
        ]
        walls = mine["wall_s"].dropna()
        wall = f"{walls.mean():.0f}" if len(walls) else ""
        seeds = mine["seed"].nunique()
        lines.append(f"| {name} | {seeds} | {' | '.join(cells)} | {mine['steps'].iloc[0]} | {wall} |")
    return "\n".join([*lines, *_against(found, benchmarks)]) + "\n"


def _against(found: list[dict[str, Any]], benchmarks: list[str]) -> list[str]:
    """A line a pair of ablations: lead, 95 % interval and p after Holm."""
    pairs = list(dict.fromkeys((row["name"], row["against"]) for row in found if row["against"] != SUBJECT))
    if not pairs:
        return []
    cells = {(row["name"], row["against"], row["benchmark"]): row for row in found}
    lines = [
        "",
        f"| ablation | against | seeds | {' | '.join(benchmarks)} |",
        f"|---|---|---:|{'---:|' * len(benchmarks)}",
    ]
    for pair in pairs:
        rows = [cells.get((*pair, benchmark)) for benchmark in benchmarks]
        seeds = next(row["seeds"] for row in rows if row is not None)
        lines.append(f"| {' | '.join(pair)} | {seeds} | {' | '.join(map(_interval, rows))} |")
    return lines


def _interval(row: dict[str, Any] | None) -> str:
    if row is None:
        return ""
    return f"{row['lead']:+.4f} ({row['low']:+.4f} to {row['high']:+.4f}), p = {row['p_holm']:.2g}"


def _lead(row: dict[str, Any] | None) -> str:
    if row is None:
        return ""
    return f" ({row['lead']:+.4f}{'' if row['verdict'] == 'not significant' else ' *'})"


def _mean(values: pd.Series) -> str:
    if values.empty:
        return ""
    spread = f" ± {values.std(ddof=1):.4f}" if len(values) > 1 else ""
    return f"{values.mean():.4f}{spread}"

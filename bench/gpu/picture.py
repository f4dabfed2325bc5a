"""Learning curves: nDCG@10 against groups and against seconds of training, a band over the seeds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.gpu.compared import Row, seed_rows

_COLOURS = {
    "contrastive": "#c0504d", "revela": "#1f5fa8", "contrastive then revela": "#3a9b6f", "paper": "#8064a2",
}  # fmt: skip


def plot_learning(rows: Sequence[Row], target: Path) -> bool:
    """Write the picture; False, and nothing written, when nothing was measured on the way.

    Args:
        rows: of all sources, each row naming its own; runs of one source and method are one curve.
    """
    probes = [row for row in rows if row["kind"] == "probe"]
    panels = list(dict.fromkeys((row["experiment"], name) for row in probes for name in row["ndcg"]))
    if not panels:
        return False
    sources = list(dict.fromkeys(row["source"] for row in probes))
    figure = Figure(figsize=(10, 2.8 * len(panels)), dpi=110, layout="constrained")
    axes = figure.subplots(len(panels), 2, squeeze=False, sharey="row")
    for (experiment, benchmark), pair in zip(panels, axes, strict=True):
        mine = [row for row in probes if row["experiment"] == experiment and benchmark in row["ndcg"]]
        origin = [
            (0.0, *3 * (row["ndcg"][benchmark],))
            for row in seed_rows(rows)
            if (row["experiment"], row["method"]) == (experiment, "start") and benchmark in row["ndcg"]
        ][:1]
        bm25 = next(
            (r["ndcg_at_10"] for r in rows if r["kind"] == "bm25" and r["benchmark"] == benchmark), None
        )
        for where, key, label in zip(
            pair, ("groups", "training_s"), ("groups seen", "seconds of training"), strict=True
        ):
            for curve in dict.fromkeys((row["source"], row["method"]) for row in mine):
                points = _points(
                    [row for row in mine if (row["source"], row["method"]) == curve], key, benchmark
                )
                _draw(where, [*origin, *points], *curve, sources.index(curve[0]), several=len(sources) > 1)
            if bm25 is not None:
                where.axhline(bm25, color="black", linestyle=":", linewidth=1, label="BM25")
            where.set_xlabel(label)
            where.grid(True, linewidth=0.3)
        pair[0].set_ylabel("nDCG@10")
        pair[0].set_title(f"from {experiment}: {benchmark}", loc="left", fontsize="medium")
    axes[0, 0].legend(frameon=False, fontsize="small")
    figure.savefig(target, metadata={"Software": None})
    return True


def _points(rows: Sequence[Row], key: str, benchmark: str) -> list[tuple[float, ...]]:
    """(x, mean, lowest, highest) over the seeds at each number of groups."""
    at: dict[int, dict[str, Row]] = {}
    for row in rows:
        at.setdefault(row["groups"], {})[row["run"]] = row
    found = []
    for _, seeds in sorted(at.items()):
        values = [row["ndcg"][benchmark] for row in seeds.values()]
        x = statistics.fmean(row[key] for row in seeds.values())
        found.append((x, statistics.fmean(values), min(values), max(values)))
    return found


def _draw(
    axes: Axes, points: Sequence[tuple[float, ...]], source: str, method: str, number: int, *, several: bool
) -> None:
    x, mean, low, high = zip(*points, strict=True)
    colour, style = _COLOURS.get(method), ("-", "--", "-.", ":")[number % 4]
    label = f"{method} ({source})" if several else method
    axes.plot(x, mean, style, marker="o", markersize=3, color=colour, label=label)
    axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)

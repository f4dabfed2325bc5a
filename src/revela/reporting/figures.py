"""The report's pictures, as matplotlib figures."""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from revela.evaluation.report import SUBJECT
from revela.reporting.gather import MAIN, Curve, Reported

_GREY, _BLUE, _ORANGE = "#8a8a8a", "#1f5fa8", "#c8621a"
_LEXICAL = ("bm25", "bm25_identifiers")
_COLUMNS = 3


def all_figures(reported: Reported) -> dict[str, Figure]:
    """Name -> figure, for what there is to show; the order is the report's."""
    figures = {"scores": scores(reported.means)}
    if reported.curves:
        figures["learning_curves"] = learning_curves(reported.curves)
    if reported.leads:
        figures["ablations"] = forest(reported.leads)
    if any(row["wall_s"] for row in reported.ablations):
        figures["cost"] = cost(reported.ablations)
    return figures


def scores(means: pd.DataFrame) -> Figure:
    """A panel a benchmark, a row a model: mean nDCG@10 and its 95 % interval."""
    benchmarks = list(dict.fromkeys(means["benchmark"]))
    models = list(dict.fromkeys(means["model"]))
    columns = min(_COLUMNS, len(benchmarks))
    rows = math.ceil(len(benchmarks) / columns)
    height = (0.32 * len(models) + 0.9) * rows
    figure = Figure(figsize=(3.1 * columns + 1.6, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for axis in axes.flat[len(benchmarks) :]:
        axis.set_visible(False)
    for axis, benchmark in zip(axes.flat, benchmarks, strict=False):
        mine = means[means["benchmark"] == benchmark].set_index("model")
        for place, model in enumerate(models):
            if model not in mine.index:
                continue
            row = mine.loc[model]
            colour = _BLUE if model == SUBJECT else _GREY if model in _LEXICAL else "black"
            axis.plot([row["low"], row["high"]], [place, place], color=colour, linewidth=2)
            axis.plot(row["mean"], place, "o", color=colour, markersize=6)
        axis.set_title(benchmark, fontsize=10)
        axis.set_xlim(left=0)
        axis.set_yticks(range(len(models)), models)
        axis.grid(axis="x", linewidth=0.3)
        axis.tick_params(axis="y", length=0)
        axis.spines[["top", "right", "left"]].set_visible(False)
    axes.flat[0].set_ylim(len(models) - 0.5, -0.5)
    figure.supxlabel("nDCG@10, 95 % interval over queries", fontsize=9)
    return figure


def learning_curves(curves: list[Curve]) -> Figure:
    """The probe's nDCG@10 against steps, tokens and, where measured, time; a colour a name, a line a seed."""
    timed = [curve for curve in curves if curve.seconds is not None]
    panels = 3 if timed else 2
    figure = Figure(figsize=(4.2 * panels, 4.0), layout="constrained")
    axes = figure.subplots(1, panels, sharey=True)
    names = list(dict.fromkeys(curve.name for curve in curves))
    for curve in curves:
        colour = "black" if curve.name == MAIN else f"C{names.index(curve.name)}"
        style = {"color": colour, "marker": "o", "markersize": 3, "linewidth": 1.2}
        label = curve.name if curve.seed in (None, 0) else None
        axes[0].plot(curve.steps, curve.values, label=label, **style)
        axes[1].plot([count / 1e6 for count in curve.tokens], curve.values, **style)
        if curve.seconds is not None:
            axes[2].plot([second / 60 for second in curve.seconds], curve.values, **style)
    for axis, label in zip(axes, ("steps", "million tokens", "minutes of training"), strict=False):
        axis.set_xlabel(label)
        axis.set_xlim(left=0)
        axis.grid(linewidth=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("nDCG@10 of the probe")  # not from 0 on: settings differ by hundredths
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper", fontsize=8, frameon=False)
    return figure


def forest(leads: list[dict]) -> Figure:
    """Each ablation's lead over this run's retriever, or another one, with its 95 % interval.

    Filled where significant.
    """
    benchmarks = list(dict.fromkeys(row["benchmark"] for row in leads))
    leads = sorted(leads, key=lambda row: row["against"] != SUBJECT)
    names = list(dict.fromkeys(map(_pair, leads)))
    figure = Figure(figsize=(3.1 * len(benchmarks) + 1.8, 0.34 * len(names) + 1.0), layout="constrained")
    axes = figure.subplots(1, len(benchmarks), squeeze=False, sharey=True)[0]
    for axis, benchmark in zip(axes, benchmarks, strict=True):
        axis.axvline(0, color="black", linewidth=0.8)
        for row in (row for row in leads if row["benchmark"] == benchmark):
            _lead(axis, names.index(_pair(row)), row)
        axis.set_title(benchmark, fontsize=10)
        axis.set_yticks(range(len(names)), names)
        axis.xaxis.set_major_locator(MaxNLocator(4))
        axis.grid(axis="x", linewidth=0.3)
        axis.tick_params(axis="y", length=0)
        axis.spines[["top", "right", "left"]].set_visible(False)
    axes[0].set_ylim(len(names) - 0.5, -0.5)
    figure.supxlabel("difference in nDCG@10; filled: p < 0.05 after Holm", fontsize=9)
    return figure


def _pair(row: dict) -> str:
    return row["name"] if row["against"] == SUBJECT else f"{row['name']}\nagainst {row['against']}"


def _lead(axis: Axes, place: int, row: dict) -> None:
    colour = _GREY if row["verdict"] == "not significant" else _BLUE if row["lead"] > 0 else _ORANGE
    filled = colour if row["verdict"] != "not significant" else "white"
    axis.plot([row["low"], row["high"]], [place, place], color=colour, linewidth=1.6)
    axis.plot(row["lead"], place, "o", color=colour, markerfacecolor=filled, markersize=6)


def cost(ablations: list[dict]) -> Figure:
    """Mean nDCG@10 over benchmarks against minutes of training, a point an ablation (mean over seeds)."""
    table = pd.DataFrame(ablations).dropna(subset=["wall_s"])
    points = table.groupby("name", sort=False)[["wall_s", "ndcg_at_10"]].mean()
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axis = figure.subplots()
    axis.plot(points["wall_s"] / 60, points["ndcg_at_10"], "o", color=_BLUE)
    for name, row in points.iterrows():
        where = (row["wall_s"] / 60, row["ndcg_at_10"])
        axis.annotate(str(name), where, xytext=(4, 4), textcoords="offset points", fontsize=7)
    axis.set_xlabel("minutes of training")
    axis.set_ylabel("nDCG@10, mean over benchmarks")
    axis.set_xlim(left=0)
    axis.margins(x=0.15)
    axis.grid(linewidth=0.3)
    axis.spines[["top", "right"]].set_visible(False)
    return figure

"""One picture of an evaluation: a bar a model, and the path of the scores over training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from revela.evaluation.significance import bootstrap_interval

PHASE_PREFIX = "after_"
_LEXICAL = ("bm25", "bm25_identifiers")
_FUSED = "hybrid"
_GREY, _BLUE, _PALE = "#8a8a8a", "#1f5fa8", "#a9c4e4"
# An error bar is read by eye; the intervals in comparisons.json use `evaluate.resamples`.
_RESAMPLES = 2000


def save_plot(
    path: Path, scores: dict[str, dict[str, pd.DataFrame]], *, metric: str, label: str, seed: int
) -> None:
    """Write a PNG with a column a benchmark: bars with 95 % intervals, below them a line over any phases.

    Args:
        scores: benchmark -> model -> per-query table.
        metric: the column shown, under the name `label`.
    """
    phases = any(model.startswith(PHASE_PREFIX) for models in scores.values() for model in models)
    rows = 2 if phases else 1
    figure = Figure(figsize=(max(6.4, 4.2 * len(scores)), 4.0 * rows), dpi=120, layout="constrained")
    axes = figure.subplots(rows, len(scores), squeeze=False)
    for column, (benchmark, models) in enumerate(scores.items()):
        _bars(axes[0, column], models, metric, seed)
        axes[0, column].set_title(benchmark)
        if phases:
            _path(axes[1, column], models, metric, seed)
    for row in axes:
        row[0].set_ylabel(f"{label} (95 % interval)")
    figure.savefig(path, metadata={"Software": None})  # the version of matplotlib is no result


def _bars(axes: Axes, models: dict[str, pd.DataFrame], metric: str, seed: int) -> None:
    means, errors = _means_and_errors(list(models.values()), metric, seed)
    colours = [_BLUE if model == "retriever" else _GREY if model in _LEXICAL else _PALE for model in models]
    positions = np.arange(len(models))
    axes.bar(positions, means, yerr=errors, color=colours, capsize=3)
    axes.set_xticks(positions, list(models), rotation=30, ha="right")
    axes.set_ylim(bottom=0)


def _path(axes: Axes, models: dict[str, pd.DataFrame], metric: str, seed: int) -> None:
    """The trained model's scores in order of training; lexical baselines as level lines, no hybrid."""
    trained = {model: table for model, table in models.items() if model not in (*_LEXICAL, _FUSED)}
    means, errors = _means_and_errors(list(trained.values()), metric, seed)
    axes.errorbar(np.arange(len(trained)), means, yerr=errors, marker="o", color=_BLUE, capsize=3)
    lexical = [model for model in _LEXICAL if model in models]
    for model, style in zip(lexical, ("--", ":"), strict=False):
        axes.axhline(models[model][metric].mean(), color=_GREY, linestyle=style, label=model)
    axes.set_xticks(np.arange(len(trained)), list(trained), rotation=30, ha="right")
    axes.set_ylim(bottom=0)
    if lexical:
        axes.legend(frameon=False)


def _means_and_errors(tables: list[pd.DataFrame], metric: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(models,) means and (2, models) distances from the mean to the interval's lower and upper end."""
    values = [table[metric].to_numpy() for table in tables]
    means = np.array([each.mean() for each in values])
    ends = np.array([bootstrap_interval(each, resamples=_RESAMPLES, seed=seed) for each in values])
    return means, np.abs(ends - means[:, None]).T

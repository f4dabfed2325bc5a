"""Pictures of a filtered corpus: lengths, what was dropped, and what is left of every source."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_GREY, _BLUE, _PALE = "#8a8a8a", "#1f5fa8", "#a9c4e4"
_SOURCE_COLOURS = ("#1f5fa8", "#c0504d", "#3a9b6f", "#e0a030", "#7b5aa6", "#4bacc6", "#9c6b3f")
_MOST_BARS = 15
_OTHER = "all others"

# Bounds of the bins of a length histogram, words: ten a decade from 1 to 10 million.
LENGTH_EDGES = np.logspace(0, 7, 71)


def length_histogram(words: np.ndarray) -> np.ndarray:
    """Count texts by length; histograms of parts of a corpus can be added.

    Args:
        words: (n,) words of each text; 0 counts as 1, and what is longer than the last bound as the last bin.

    Returns:
        (70,) int64.
    """
    return np.histogram(np.clip(words, LENGTH_EDGES[0], LENGTH_EDGES[-1]), LENGTH_EDGES)[0].astype(np.int64)


def plot_lengths(before: np.ndarray, after: np.ndarray, target: Path) -> None:
    """Two histograms of :func:`length_histogram` over each other."""
    figure = Figure(figsize=(8, 3.4), dpi=100, layout="constrained")
    axes = figure.subplots()
    axes.stairs(before, LENGTH_EDGES, fill=True, color=_PALE, label=f"read: {before.sum():,}")
    axes.stairs(after, LENGTH_EDGES, color=_BLUE, linewidth=1.6, label=f"kept: {after.sum():,}")
    axes.set_xscale("log")
    filled = np.flatnonzero(before + after)
    if len(filled):
        axes.set_xlim(LENGTH_EDGES[max(0, filled[0] - 1)], LENGTH_EDGES[min(70, filled[-1] + 2)])
    axes.set_xlabel("words of a document")
    axes.set_ylabel("documents")
    axes.legend(frameon=False)
    _save(figure, target)


def plot_drops(sources: dict[str, dict[str, Any]], target: Path) -> None:
    """A bar a rule, parted by source; the sources with the most drops have colours of their own."""
    totals: Counter[str] = Counter()
    for counts in sources.values():
        totals.update(counts["dropped"])
    reasons = [reason for reason, _ in sorted(totals.items(), key=lambda item: (-item[1], item[0]))]
    by_drops = sorted(sources, key=lambda source: (-sum(sources[source]["dropped"].values()), source))
    shown = by_drops[: len(_SOURCE_COLOURS)]
    figure, axes = _bar_figure(len(reasons) + len(shown) // 2)
    left = np.zeros(len(reasons))
    series = [(source, [source], colour) for source, colour in zip(shown, _SOURCE_COLOURS, strict=False)]
    series.append((_OTHER, by_drops[len(shown) :], _GREY))
    for label, members, colour in series:
        width = np.array(
            [sum(sources[one]["dropped"].get(reason, 0) for one in members) for reason in reasons]
        )
        if width.any():
            axes.barh(np.arange(len(reasons)), width, left=left, color=colour, label=_short(label))
            left = left + width
    _name_bars(axes, reasons, left, "documents dropped")
    if len(sources) > 1 and reasons:
        legend = figure.legend(frameon=False, fontsize="small", loc="outside lower center", ncols=2)
        for text in legend.get_texts():
            text.set_parse_math(False)  # a source may be called what it likes
    _save(figure, target)


def plot_kept(sources: dict[str, dict[str, Any]], target: Path) -> None:
    """Characters kept, a bar a source."""
    ordered = sorted(sources, key=lambda source: (-sources[source]["characters"], source))
    bars = [(_short(source), sources[source]["characters"] / 1e6) for source in ordered[:_MOST_BARS]]
    if rest := ordered[_MOST_BARS:]:
        bars.append((f"{len(rest)} others", sum(sources[source]["characters"] for source in rest) / 1e6))
    figure, axes = _bar_figure(len(bars))
    widths = np.array([width for _, width in bars])
    axes.barh(np.arange(len(bars)), widths, color=_BLUE)
    _name_bars(axes, [name for name, _ in bars], widths, "characters kept, millions", digits=2)
    _save(figure, target)


def _bar_figure(bars: int) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(8, 1.1 + 0.32 * max(2, bars)), dpi=100, layout="constrained")
    return figure, figure.subplots()


def _name_bars(axes: Axes, names: list[str], widths: np.ndarray, label: str, digits: int = 0) -> None:
    axes.set_yticks(np.arange(len(names)), names, parse_math=False)
    axes.invert_yaxis()
    axes.set_xlabel(label)
    for place, width in enumerate(widths):
        axes.annotate(
            f"{width:,.{digits}f}",
            (width, place),
            (3, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    axes.margins(x=0.12)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _short(name: str) -> str:
    """A source's name that fits beside a bar: its end tells more than its beginning."""
    return name if len(name) <= 40 else f"…{name[-39:]}"


def _save(figure: Figure, target: Path) -> None:
    # Without the library's version in its metadata, equal figures give equal files.
    figure.savefig(target, metadata={"Software": None})

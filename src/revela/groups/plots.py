"""One picture of the groups: lengths of chunks, documents a group, relatedness beside chance, sources."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from revela.groups.formed import KINDS
from revela.groups.statistics import Statistics

_COLOURS = dict(zip(KINDS, ("#1f5fa8", "#e08a3c", "#3a9b6f", "#8e6bb0"), strict=True))
_GREY = "#8a8a8a"
_SOURCES = 12
_NAME_CHARACTERS = 28


def save_plot(
    path: Path, statistics: Statistics, chunk_tokens: np.ndarray, most_tokens: int, sources: dict[str, int]
) -> None:
    """Write a PNG with four panels; equal groups give equal bytes.

    Args:
        chunk_tokens: tokens of every chunk that is used.
        most_tokens: ``batches.chunk_tokens``.
        sources: chunks that are used, by source.
    """
    figure = Figure(figsize=(11, 7.6), dpi=110, layout="constrained")
    panels = figure.subplots(2, 2)
    kinds = [kind for kind in KINDS if kind in statistics.kinds]
    chosen = {kind: np.array([each == kind for each in statistics.kinds]) for kind in kinds}
    _lengths(panels[0, 0], chunk_tokens, most_tokens)
    _documents(panels[0, 1], statistics, chosen)
    _relatedness(panels[1, 0], statistics, chosen)
    _sources(panels[1, 1], sources)
    figure.savefig(path, metadata={"Software": None})  # the version of matplotlib is no result


def _lengths(axes: Axes, tokens: np.ndarray, most: int) -> None:
    axes.hist(tokens, bins=np.linspace(0, most, 33).tolist(), color=_COLOURS[KINDS[0]])
    axes.axvline(tokens.mean(), color=_GREY, linestyle="--", label=f"mean {tokens.mean():.0f}")
    axes.set(title="Length of chunks", xlabel="tokens", ylabel="chunks")
    axes.legend(frameon=False)


def _documents(axes: Axes, statistics: Statistics, chosen: dict[str, np.ndarray]) -> None:
    most = int(statistics.documents.max())
    values = np.arange(1, most + 1)
    below = np.zeros(most)
    for kind, mask in chosen.items():
        counts = np.bincount(statistics.documents[mask], minlength=most + 1)[1:]
        axes.bar(values, counts, bottom=below, color=_COLOURS[kind], label=kind.replace("_", " "))
        below += counts
    axes.set(title="Documents of a group", xlabel="documents", ylabel="groups")
    axes.set_xticks(values if most <= 20 else np.linspace(1, most, 10).round())
    axes.legend(frameon=False)


def _relatedness(axes: Axes, statistics: Statistics, chosen: dict[str, np.ndarray]) -> None:
    # The few groups of near-copies would press all others into a corner.
    end = float(max(np.quantile(statistics.relatedness, 0.995), statistics.random.max())) * 1.05
    bins = np.linspace(0, max(end, 1e-6), 50)
    series = {"random, for comparison": (statistics.random, _GREY)}
    series |= {
        kind.replace("_", " "): (statistics.relatedness[mask], _COLOURS[kind])
        for kind, mask in chosen.items()
    }
    for name, (values, colour) in series.items():
        weights = np.full(len(values), 1 / len(values))
        shown = np.minimum(values, bins[-1])
        label = f"{name} (mean {values.mean():.3f})"
        axes.hist(
            shown,
            bins=bins.tolist(),
            weights=weights,
            histtype="step",
            color=colour,
            linewidth=1.6,
            label=label,
        )
    axes.set(title="Relatedness", xlabel="mean symmetric BM25 of a group's pairs", ylabel="share of groups")
    axes.legend(frameon=False, fontsize="small")


def _sources(axes: Axes, sources: dict[str, int]) -> None:
    ranked = sorted(sources.items(), key=lambda item: (-item[1], item[0]))
    shown = [(_short(name), count) for name, count in ranked[:_SOURCES]]
    if rest := ranked[_SOURCES:]:
        shown.append((f"{len(rest)} others", sum(count for _, count in rest)))
    positions = np.arange(len(shown))
    axes.barh(positions, [count for _, count in shown], color=_COLOURS[KINDS[0]])
    axes.set_yticks(positions, [name for name, _ in shown], parse_math=False, fontsize="small")
    axes.set_ylim(max(len(shown), 4) - 0.5, -0.5)  # the first on top, and bars, not blocks
    axes.set(title="Chunks by source", xlabel="chunks")


def _short(name: str) -> str:
    """A name that leaves room for the bars; its end tells sources apart."""
    return name if len(name) <= _NAME_CHARACTERS else f"…{name[1 - _NAME_CHARACTERS :]}"

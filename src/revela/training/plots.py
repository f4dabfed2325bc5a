"""Training curves as a PNG."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

from matplotlib.figure import Figure

_PANELS = (
    ("nats a token", ("plain_loss", "conditioned_loss")),
    ("InfoNCE or KL, nats", ("contrastive_loss", "replug_loss")),
    ("nDCG@10 meanwhile", ("probe_ndcg_at_10", "validation_ndcg_at_10")),
    ("chunks attended", ("effective_chunks", "lm_effective_chunks")),
    ("gradient norm", ("grad_norm_retriever", "grad_norm_lm")),
)


def plot_curves(rows: list[dict[str, str]], target: Path) -> None:
    """Draw what every step recorded; phases are told apart by vertical lines.

    Args:
        rows: from :func:`revela.training.records.read_rows`.
        target: a .png file.
    """
    figure = Figure(figsize=(9, 11), layout="constrained")
    axes = figure.subplots(len(_PANELS), sharex=True)
    starts = [int(row["step"]) for before, row in itertools.pairwise(rows) if before["phase"] != row["phase"]]
    for axis, (label, columns) in zip(axes, _PANELS, strict=True):
        for column in columns:
            # NaN where a step has no such figure: the line breaks instead of bridging a phase, and what is
            # measured now and then shows as points.
            values = [float(row.get(column) or "nan") for row in rows]
            if not all(map(math.isnan, values)):
                axis.plot([int(row["step"]) for row in rows], values, ".-", label=column, linewidth=0.9, ms=3)
        for start in starts:
            axis.axvline(start, color="grey", linewidth=0.6)
        axis.set_ylabel(label)
        if len(axis.lines) > len(starts):
            axis.legend(loc="upper right", fontsize="small")
    axes[-1].set_xlabel("step")
    # Without the date and the library's version in its metadata, equal curves give equal files.
    figure.savefig(target, dpi=100, metadata={"Software": None})

"""The figures of every step: to a CSV that survives a kill, and to whoever else listens."""

from __future__ import annotations

import csv
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path

log = logging.getLogger(__name__)

TIMINGS = ("tokens_per_second", "model_flops_utilisation")
"""Columns that differ from run to run; left out of what DVC versions."""

COLUMNS = (
    "step", "phase", "tokens", "loss", "conditioned_loss", "plain_loss", "gain", "effective_chunks",
    "pairs_per_chunk", "chunks_read", "skipped_weight", "lm_tokens_cut_share",
    "contrastive_loss", "contrastive_accuracy", "replug_loss", "lm_effective_chunks",
    "start_distance", "gradient_contrastive", "gradient_revela",
    "probe_ndcg_at_10", "validation_ndcg_at_10",
    "grad_norm_retriever", "grad_norm_lm", "learning_rate_retriever", "learning_rate_lm", *TIMINGS,
)  # fmt: skip

PROGRESS_EVERY_S = 10.0


class StepRecorder:
    """Append a row a step to `path` and pass it on; say from time to time how far training is.

    Args:
        path: the CSV. Rows at or after `first_step` are dropped on opening: they belong to steps
            that an interrupted run took after its last checkpoint and that are now taken again.
        total_steps: of all phases together.
        sink: called with (figures, step) for every row; for the tracking server.
    """

    def __init__(
        self, path: Path, total_steps: int, first_step: int, sink: Callable[[dict[str, float], int], None]
    ) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = [row for row in read_rows(path) if int(row["step"]) < first_step]
        self._file = path.open("w", newline="", encoding="utf-8")
        self._writer = csv.DictWriter(self._file, COLUMNS, restval="")
        self._writer.writeheader()
        self._writer.writerows(kept)
        self._sink = sink
        self._total, self._first = total_steps, first_step
        self._started = self._said = time.monotonic()

    def record(self, step: int, phase: str, figures: Mapping[str, float]) -> None:
        """Keep one step's figures.

        Args:
            step: counted over all phases, from 0.
            phase: its name.
            figures: by column name; columns a phase does not have stay empty.
        """
        self._writer.writerow(
            {"step": step, "phase": phase, **{key: f"{value:.6g}" for key, value in figures.items()}}
        )
        self._file.flush()
        self._sink({f"train/{key}": value for key, value in figures.items()}, step)
        now = time.monotonic()
        if now - self._said >= PROGRESS_EVERY_S or step + 1 == self._total:
            self._said = now
            left = (now - self._started) / (step + 1 - self._first) * (self._total - step - 1)
            shown = "  ".join(
                f"{name} {figures[key]:.3f}"
                for key, name in (("loss", "loss"), ("gain", "gain"), ("contrastive_accuracy", "accuracy"))
                if key in figures
            )
            log.info("step %d/%d  %s  %s  about %.0f s left", step + 1, self._total, phase, shown, left)

    def close(self) -> None:
        self._file.close()


def read_rows(path: Path) -> list[dict[str, str]]:
    """The complete rows of a CSV written by :class:`StepRecorder`; a torn last line is dropped."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if None not in row.values() and None not in row]


def write_reproducible(source: Path, target: Path) -> None:
    """Copy the CSV without its timings, so that equal runs give equal files."""
    kept = [column for column in COLUMNS if column not in TIMINGS]
    with target.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, kept, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(read_rows(source))


def summarise(rows: list[dict[str, str]], last: int = 20) -> dict[str, dict[str, float]]:
    """Means over each phase's last steps: `{phase: {figure: value}}`.

    Args:
        rows: from :func:`read_rows`.
        last: how many steps at a phase's end are averaged, to be above the noise of one group.
    """
    phases: dict[str, list[dict[str, str]]] = {row["phase"]: [] for row in rows}
    for row in rows:
        phases[row["phase"]].append(row)
    summary: dict[str, dict[str, float]] = {}
    for phase, steps in phases.items():
        tail = steps[-last:]
        summary[phase] = {"steps": len(steps)}
        for column in (column for column in COLUMNS[2:] if column not in TIMINGS):
            # Some figures are measured every few steps only.
            values = [float(row[column]) for row in tail if row.get(column)]
            if values:
                summary[phase][column] = round(sum(values) / len(values), 5)
    return summary

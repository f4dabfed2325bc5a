"""The retriever's quality while it trains, against groups and against seconds of training."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.gpu.materials import Materials, tokens_of

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Scores = dict[str, list[float]]
"""Benchmark -> nDCG@10 of every query, in the order of the sorted query ids."""


def evaluate(encoder: SentenceTransformer, materials: Materials, benchmarks: Sequence[str]) -> Scores:
    """nDCG@10 of every query, 0 to 1; leaves the model as it was."""
    import torch

    from revela.evaluation.dense import run_of
    from revela.evaluation.scoring import score

    training, limit = encoder.training, encoder.max_seq_length
    on_gpu = encoder.device.type == "cuda"
    encoder.eval()
    found = {}
    try:
        for name in benchmarks:
            benchmark = materials.benchmark(name)
            encoder.max_seq_length = tokens_of(name)
            # As in training: adapters may be float32 beside a base in bfloat16, or all of it float32.
            with torch.no_grad(), torch.autocast(encoder.device.type, torch.bfloat16, enabled=on_gpu):
                run = run_of(encoder, benchmark, batch_size=512 if on_gpu else 32, k=10, name=name)
            found[name] = score(benchmark.qrels, run)["ndcg_at_10"].tolist()
    finally:
        encoder.max_seq_length = limit
        encoder.train(training)
    return found


def means(scores: Scores) -> dict[str, float]:
    """Benchmark -> mean over its queries."""
    return {name: round(sum(values) / len(values), 4) for name, values in scores.items()}


class Watch:
    """What `revela.training` calls every so many steps; it passes a figure on each time.

    Args:
        every: steps from one measurement to the next; the last step of a phase is measured in any case.
        curve: gives the training's curve.csv as far as it is written, or None.
        before: (steps, seconds) of earlier trainings of the same run.
        note: called with steps so far, their seconds and nDCG@10 by benchmark.

    Attributes:
        last: the newest scores, query by query; None until the first measurement.
    """

    def __init__(
        self,
        materials: Materials,
        benchmarks: Sequence[str],
        *,
        every: int,
        curve: Callable[[], Path | None],
        before: tuple[int, float],
        note: Callable[[int, float, Mapping[str, float]], None],
    ) -> None:
        self.every = every
        self.last: Scores | None = None
        self._materials, self._benchmarks = materials, benchmarks
        self._curve, self._before, self._note = curve, before, note

    def __call__(self, encoder: SentenceTransformer) -> float:
        """Measure; the mean over the benchmarks, for the training's own curve."""
        self.last = evaluate(encoder, self._materials, self._benchmarks)
        found = means(self.last)
        # The step that has just been taken is written after this call.
        steps, seconds = taken(self._curve())
        seconds *= (steps + 1) / steps if steps else 0.0
        self._note(self._before[0] + steps + 1, self._before[1] + seconds, found)
        return sum(found.values()) / len(found)


def taken(curve: Path | None) -> tuple[int, float]:
    """Steps that a training has taken, and their seconds without evaluation and loading.

    Args:
        curve: its curve.csv with timings; it survives a kill, and loses what came after the last checkpoint.
    """
    from revela.training.records import read_rows

    seconds = [
        float(row["tokens"]) / float(row["tokens_per_second"])
        for row in (read_rows(curve) if curve is not None else [])
        if float(row["tokens_per_second"]) > 0
    ]
    return len(seconds), sum(seconds)


def step_seconds(curve: Path, skip: int) -> float:
    """The median over a training's steps, the first `skip` of which warm up."""
    from revela.training.records import read_rows

    rows = read_rows(curve)[skip:]
    return statistics.median(float(row["tokens"]) / float(row["tokens_per_second"]) for row in rows)

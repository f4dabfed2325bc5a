"""Which of a training's states becomes the retriever: the best by validation, the start among them."""

from __future__ import annotations

import itertools
import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from sentence_transformers import SentenceTransformer
from torch import Tensor

from revela.files import read_json, write_json
from revela.settings import TrainingSettings
from revela.training.checkpoints import kept_state, save_state
from revela.training.model import JointModel
from revela.training.run_mean import RunMean

log = logging.getLogger(__name__)

KEPT = "kept"
"""Folder beside the checkpoints: what was measured, and the states that may be kept."""
START = "start"
MEAN = "mean of the run"
_PREFIX = "retriever."
_LIST = "measured.json"
_AVERAGED = " of the start"
_ENOUGH = 0.5
"""Share of the best state's gain in validation with which the mean of the run is kept in its place."""


class Validate(Protocol):
    """What measures a retriever: the score that decides, its means by kind, and every query's."""

    every: int

    def __call__(self, encoder: SentenceTransformer) -> tuple[float, dict[str, float], Sequence[float]]: ...


@dataclass(frozen=True)
class Candidate:
    """A state of the retriever and what it is worth.

    Attributes:
        name: ``start``, a phase's name, or what was averaged.
        step: steps taken over all phases.
        mean: nDCG@10 over all queries, which decides.
        scores: the same by kind of pair.
    """

    name: str
    step: int
    mean: float
    scores: Mapping[str, float]


class Keeper:
    """Measures states of a model's retriever, and keeps the weights of those that were the best so far.

    What was measured survives a kill; of what came after the step at which training goes on nothing counts.

    Args:
        folder: its own, beside the checkpoints.
        position: steps that are taken already.
        reach: steps that a training which was killed may go back at most: what is older, was not the best
            and no phase ended with is deleted. None deletes nothing.
    """

    def __init__(
        self, model: JointModel, validate: Validate, folder: Path, position: int, reach: int | None = None
    ) -> None:
        self._model, self._validate, self._folder, self._reach = model, validate, folder, reach
        self._run = RunMean(folder / "mean")
        self.measured: list[Candidate] = []
        if (folder / _LIST).is_file():
            listed = [Candidate(**entry) for entry in read_json(folder / _LIST)]
            self.measured = [one for one in listed if one.step <= position and not _is_averaged(one.name)]
        if not self.measured:
            self.measure(START, 0)

    @property
    def every(self) -> int:
        """Steps from one measurement to the next."""
        return self._validate.every

    @property
    def best(self) -> Candidate:
        """The first of the best ones."""
        return max(self.measured, key=lambda one: one.mean)

    def measure(self, name: str, step: int) -> Candidate:
        """Measure the retriever as it is now, a state of the run."""
        found = self._judge(name, step)
        self._run.add(_of_retriever(self._model.trained_state()), len(self.measured))
        if self._reach is not None:
            self._forget(step - self._reach)
        return found

    def _judge(self, name: str, step: int) -> Candidate:
        mean, scores, _ = self._validate(self._model.retriever.encoder)
        by_kind = {kind: round(value, 6) for kind, value in scores.items()}
        found = Candidate(name, step, round(mean, 6), by_kind)
        # The first one is the start; what is averaged with it later is the best of the others.
        if all(found.mean > one.mean for one in self.measured[1:]):
            save_state(_of_retriever(self._model.trained_state()), self._place(found))
        self.measured.append(found)
        write_json(self._folder / _LIST, [asdict(one) for one in self.measured])
        return found

    def measure_again(self, name: str, step: int) -> None:
        """Measure the end of a phase that an earlier run finished, if what that one measured is gone."""
        if not any(one.name == name for one in self.measured):
            self.measure(name, step)

    def settle(self, averages: list[float]) -> Candidate:
        """Put the best state into the model: one that was measured, or an average.

        Averaging weights of a start and of what it was trained to keeps more of what the start knew of other
        text (WiSE-FT, Wortsman et al., CVPR 2022, arXiv 2109.01903). Averaging those along a run finds what
        does better on text not seen than each of them (Izmailov et al., UAI 2018, arXiv 1803.05407).
        Validation asks questions of the kinds that were trained on, and so prefers what went furthest; real
        ones did not (docs/experiments.md). So the mean of all states of the run, the start among them, is
        kept where it has half of what the best one gained over the start. A bare language model's start is so
        far behind that it has not.

        Args:
            averages: shares of the start that are tried.
        """
        states = len(self.measured)
        best = max(self.measured[1:], key=lambda one: one.mean, default=None)
        if best is not None:
            start, trained = self._state(self.measured[0]), self._state(best)
            for share in averages:
                self._model.load_part(averaged(start, trained, share))
                self._judge(f"{best.name}, {share:g}{_AVERAGED}", best.step)
        kept = self.best
        mean = None
        if states > 2:
            self._model.load_part(self._run.of(states))
            mean = self._judge(MEAN, max(one.step for one in self.measured))
        if mean is not None and self.share_of_gain(mean) >= _ENOUGH:
            kept = mean
        else:
            self._model.load_part(self._state(kept))
        log.info(
            "kept: %s after %d steps, %.4f in validation, the start %.4f",
            kept.name, kept.step, kept.mean, self.measured[0].mean,
        )  # fmt: skip
        return kept

    def share_of_gain(self, one: Candidate) -> float:
        """What a state has of the best one's gain over the start; 0 where nothing gained."""
        start = self.measured[0].mean
        return (one.mean - start) / (self.best.mean - start) if self.best.mean > start else 0.0

    def _forget(self, step: int) -> None:
        """Delete what no training asks for that goes on at `step` or later, or after one of the phases."""
        pairs = enumerate(itertools.pairwise(self.measured), start=1)
        counts = {n for n, (last, after) in pairs if after.step > step or after.name != last.name}
        counts.add(len(self.measured))
        self._run.keep(counts)
        best = [max(self.measured[1:n], key=lambda one: one.mean) for n in counts if n > 1]
        for one in self.measured[1:]:
            if one not in best:
                shutil.rmtree(self._place(one), ignore_errors=True)

    def _place(self, candidate: Candidate) -> Path:
        return self._folder / f"{candidate.step}-{candidate.name.replace(' ', '_')}"

    def _state(self, candidate: Candidate) -> dict[str, Tensor]:
        return kept_state(self._place(candidate), self._folder.parent)


def report_of(training: TrainingSettings, keeper: Keeper | None, kept: Candidate | None) -> dict[str, Any]:
    """What was kept and why, for metrics.json."""
    if keeper is None or kept is None:
        chosen = training.keep == "last"
        because = "training.keep is last" if chosen else "there is no training.validation to choose by"
        return {"state": "last", "because": because}
    start = keeper.measured[0]
    return {
        "state": kept.name,
        "because": _because(kept, keeper),
        "step": kept.step,
        "validation": kept.mean,
        "start": start.mean,
        "scores": dict(kept.scores),
        "scores_of_start": dict(start.scores),
        "measured": [
            {"state": one.name, "step": one.step, "validation": one.mean, "scores": dict(one.scores)}
            for one in keeper.measured
        ],
    }


def _because(kept: Candidate, keeper: Keeper) -> str:
    if kept == keeper.measured[0]:
        return "no state was better in validation"
    if kept != keeper.best:
        best, share = keeper.best, keeper.share_of_gain(kept)
        return f"{share:.0%} of the gain of the best in validation, {best.name} after {best.step} steps"
    return "the best in validation"


def averaged(start: Mapping[str, Tensor], trained: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """Weights between two states, `share` of them the start's.

    Adapters begin at a product of zero, so that a share of the product stands for the average of the merged
    weights: one factor is scaled and the other left as it was trained.
    """

    def between(name: str) -> Tensor:
        if "lora_A" in name:
            return trained[name]
        if "lora_B" in name:
            return (1 - share) * trained[name]
        return share * start[name] + (1 - share) * trained[name]

    return {name: between(name) for name in trained}


def _is_averaged(name: str) -> bool:
    return name == MEAN or name.endswith(_AVERAGED)


def _of_retriever(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: weight for name, weight in state.items() if name.startswith(_PREFIX)}

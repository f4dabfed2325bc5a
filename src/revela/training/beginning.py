"""What the first phase starts from: the backbone's retriever, and what is done to it before it learns."""

from __future__ import annotations

import logging
import shutil
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from revela.errors import RevelaError
from revela.files import atomic_directory, read_json, write_json
from revela.groups.reading import Groups
from revela.modeling.encoder import load_encoder
from revela.modeling.identifiers import split_identifiers
from revela.modeling.retriever import Retriever
from revela.settings import Settings, TrainingSettings
from revela.settings.training import IDENTIFIERS, TOKEN_WEIGHTS
from revela.training import processes
from revela.training.keeping import Validate
from revela.training.weigh_tokens import save_weighted
from revela.training.whiten import save_whitened

log = logging.getLogger(__name__)

COMPARED = "beginning.json"
"""What validation said before the first phase, beside the checkpoints."""
_POWER = 0.5
"""Of `token_weights: auto`: the best of 0.25, 0.5 and 1 in validation on all of six corpora together."""

_SIGNIFICANT = 1.96
"""Standard errors by which a start must be ahead: a difference that chance gives one time in twenty."""

Compared = dict[str, dict[str, float | bool]]
"""What was tried -> `used`, and what validation said `with` it and `without`."""


@dataclass(frozen=True)
class Beginning:
    """A retriever that is ready to be trained.

    Attributes:
        retriever: its folder.
        states: what it was on the way, in order, itself last; empty where nothing was done to it.
        compared: what validation said of that which it was asked about.
    """

    retriever: Path
    states: list[Path] = field(default_factory=list)
    compared: Compared = field(default_factory=dict)


def begin(
    settings: Settings,
    backbone_dir: Path,
    groups: Groups,
    workspace: Path,
    device: torch.device,
    dtype: torch.dtype,
    validate: Validate | None,
) -> Beginning:
    """Prepare the start, unless an earlier run has: the first process does, all of them call this.

    Args:
        validate: asked about what is `auto`.

    Raises:
        RevelaError: no validation where one has to decide, or an encoder that cannot be prepared so.
    """
    training = settings.training
    folder = backbone_dir / "retriever"
    states: list[Path] = []
    workspace.mkdir(parents=True, exist_ok=True)
    validation = _Validation(workspace / COMPARED, device, validate)
    for name in training.before_phases():
        prepared, tried = workspace / name, training.is_tried(name)
        if processes.is_first():
            fits = not tried or name != TOKEN_WEIGHTS or Retriever(folder).averages_evenly
            if fits and not prepared.is_dir():
                _make(name, training, folder, prepared, groups, device, dtype)
            if tried:
                validation.compare(name, folder, prepared if fits else None)
        processes.wait()
        if not tried or validation.found[name]["used"]:
            folder = prepared
            states.append(prepared)
    processes.agree({"start of the retriever": str(folder)})
    return Beginning(folder, states, validation.found)


def _make(
    name: str,
    training: TrainingSettings,
    folder: Path,
    out_dir: Path,
    groups: Groups,
    device: torch.device,
    dtype: torch.dtype,
) -> None:
    """Write what becomes of the retriever in `folder`."""
    if name == IDENTIFIERS:
        with atomic_directory(out_dir) as target:
            shutil.copytree(folder, target, dirs_exist_ok=True)
            split_identifiers(target)
    elif name == TOKEN_WEIGHTS:
        weights = training.token_weights
        save_weighted(folder, groups, weights if isinstance(weights, float) else _POWER, out_dir)
    elif training.whitening is not None:
        save_whitened(folder, groups, training.whitening, out_dir, device=device, dtype=dtype)


def _is_ahead(scores: Sequence[float], others: Sequence[float]) -> bool:
    """Whether the mean of the one is significantly above that of the other, query by query (95 %)."""
    leads = [one - other for one, other in zip(scores, others, strict=True)]
    noise = statistics.stdev(leads) / len(leads) ** 0.5 if len(leads) > 1 else 0.0
    return statistics.fmean(leads) > _SIGNIFICANT * noise


class _Validation:
    """Whether the start surely searches better with what is tried; asked once, the answers are kept."""

    def __init__(self, place: Path, device: torch.device, validate: Validate | None) -> None:
        self._place, self._device, self._validate = place, device, validate
        self._scores: dict[Path, tuple[float, Sequence[float]]] = {}

    @property
    def found(self) -> Compared:
        """All that was asked."""
        return read_json(self._place) if self._place.is_file() else {}

    def compare(self, name: str, before: Path, after: Path | None) -> None:
        """Ask about two folders, unless it is known; None for what this retriever cannot be."""
        found = self.found
        if name not in found:
            answer: dict[str, float | bool] = {"used": False}
            if after is not None:
                (score, queries), (score_before, queries_before) = self._score(after), self._score(before)
                # What validation does not see for sure may do harm where it does not look.
                used = _is_ahead(queries, queries_before)
                answer = {"used": used, "with": score, "without": score_before}
            write_json(self._place, {**found, name: answer})
        answer = self.found[name]
        if "with" in answer:
            log.info(
                "%s: %s, %.4f in validation with it, %.4f without",
                name, "used" if answer["used"] else "not used", answer["with"], answer["without"],
            )  # fmt: skip
        else:
            log.info("%s: not used, this retriever's pooling weighs tokens in its own way", name)

    def _score(self, folder: Path) -> tuple[float, Sequence[float]]:
        """The mean, and every query's."""
        if self._validate is None:
            raise RevelaError(
                "training: what is `auto` needs a validation to decide. Set training.validation, or say "
                "what you want."
            )
        if folder not in self._scores:
            encoder = load_encoder(folder, torch.float32, self._device)
            mean, _, queries = self._validate(encoder)
            self._scores[folder] = round(mean, 6), queries
        return self._scores[folder]

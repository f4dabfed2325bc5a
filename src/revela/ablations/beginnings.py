"""Trainings that begin alike are trained alike only once: phases that one has finished, others take over."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from revela.ablations.plan import digest
from revela.files import atomic_directory, atomic_write_text
from revela.settings import ObjectiveSettings, Settings
from revela.training.beginning import COMPARED
from revela.training.checkpoints import STATE_FILE
from revela.training.keeping import KEPT
from revela.training.passes import within_passes
from revela.training.pipeline import training_fingerprint
from revela.training.records import read_rows

_CURVE = "curve.csv"
_TAKEN = "taken_over.json"


class Beginnings:
    """What is finished before the first phase and after each one, in a folder named by all that decides it.

    A later phase decides nothing about an earlier one but by `max_passes`, nor does an objective's setting
    that none of its terms uses. With `gather_group` the number of processes decides, too: nothing is shared.
    What validation measured on the way is given with the phases; who goes on passes over what came later.
    Weights are hard links, so they take no room of their own.

    Args:
        store: a folder of its own, on the file system of the checkpoints; may be deleted at any time.
        settings, backbone, groups: of the training.
    """

    def __init__(self, store: Path, settings: Settings, backbone: Path, groups: Path) -> None:
        self._store = store
        settings = within_passes(settings, groups)
        self._names = [] if settings.training.gather_group else names_of(settings, backbone, groups)
        self._phases = [f"{index}-{phase.name}" for index, phase in enumerate(settings.training.phases)]
        self._before = settings.training.before_phases()

    def give(self, workspace: Path) -> None:
        """Let others begin with what is finished in `workspace`, the checkpoints of this training."""
        for count, name in enumerate(self._names):
            parts = [*self._before, COMPARED, *self._phases[:count], *([KEPT] if count else [])]
            found = [part for part in parts if (workspace / part).exists()]
            if count and not (workspace / self._phases[count - 1] / STATE_FILE).is_file():
                return
            if not found or (self._store / name).is_dir():
                continue
            with atomic_directory(self._store / name) as folder:
                for part in found:
                    _link(workspace / part, folder / part)
                if count:
                    names = {phase.split("-", 1)[1] for phase in self._phases[:count]}
                    _copy_curve(workspace / _CURVE, folder / _CURVE, names)

    def take(self, workspace: Path) -> None:
        """Begin `workspace`, not there yet, with the most that is finished; not with its MLflow run."""
        for name in reversed(self._names):
            source = self._store / name
            if source.is_dir():
                with atomic_directory(workspace) as folder:
                    for path in source.iterdir():
                        _link(path, folder / path.name)
                    if (source / _CURVE).is_file():
                        rows = len(read_rows(source / _CURVE))
                        atomic_write_text(folder / _TAKEN, json.dumps({"steps": rows}) + "\n")
                return


def steps_taken_over(workspace: Path) -> int:
    """How many of the curve's first steps another training took; 0 once :func:`told`."""
    path = workspace / _TAKEN
    return json.loads(path.read_text(encoding="utf-8"))["steps"] if path.is_file() else 0


def told(workspace: Path) -> None:
    """The steps taken over are in this training's own MLflow run, too."""
    (workspace / _TAKEN).unlink(missing_ok=True)


def names_of(settings: Settings, backbone: Path, groups: Path) -> list[str]:
    """What names the state before the first phase, and after each one in turn."""
    bare = settings.model_copy(
        update={
            # A gate is a weight of the model, whether or not a phase trains it.
            "objective": ObjectiveSettings(gate=settings.objective.gate),
            "training": settings.training.model_copy(update={"phases": []}),
        }
    )
    mark = training_fingerprint(bare, backbone, groups)
    phases = settings.training.phases
    return [
        digest(
            mark,
            [phase.model_dump(mode="json") for phase in phases[:count]],
            _objective(settings.objective, {term for phase in phases[:count] for term in phase.terms}),
        )
        for count in range(len(phases) + 1)
    ]


def _objective(objective: ObjectiveSettings, terms: set[str]) -> dict[str, object]:
    """Its settings that these terms use; those without a term's name in front are the term revela's, but
    `start_penalty` is everyone's."""
    kept: dict[str, object] = {"start_penalty": objective.start_penalty} if terms else {}
    for key, value in objective.model_dump(mode="json").items():
        owner = next((term for term in ("contrastive", "replug") if key.startswith(f"{term}_")), "revela")
        if owner in terms:
            kept[key] = value
    return kept


def _copy_curve(source: Path, target: Path, phases: set[str]) -> None:
    """The rows of these phases, which come first, byte for byte."""
    count = sum(row["phase"] in phases for row in read_rows(source))
    lines = source.read_text(encoding="utf-8").splitlines(keepends=True)
    target.write_text("".join(lines[: count + 1]), encoding="utf-8")


def _link(source: Path, target: Path) -> None:
    """Weights are never written in place; anything else, the curve above all, may be."""
    if source.is_dir():
        ignore = shutil.ignore_patterns("checkpoint-*")
        shutil.copytree(source, target, ignore=ignore, copy_function=_link_weights)
    else:
        shutil.copy2(source, target)


def _link_weights(source: str, target: str) -> None:
    if source.endswith(".safetensors"):
        os.link(source, target)
    else:
        shutil.copy2(source, target)

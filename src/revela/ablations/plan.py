"""What an ablation is in full: checked settings, before anything is trained."""

from __future__ import annotations

import copy
import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from revela.errors import RevelaError
from revela.settings import ABLATIONS_FILE, Ablation, Settings

log = logging.getLogger(__name__)

SECTIONS = ("backbone", "corpus", "batches", "objective", "training", "evaluate")
"""What may be changed. The benchmarks and the registry are shared: scores must compare."""


@dataclass(frozen=True)
class Planned:
    """One run of one ablation; `overrides` are part of `settings` already."""

    name: str
    seed: int
    settings: Settings
    overrides: Mapping[str, Any]

    @property
    def label(self) -> str:
        return f"{self.name}, seed {self.seed}"


def plan(
    settings: Settings,
    names: Sequence[str] = (),
    seeds: Sequence[int] = (),
    warn: Callable[[str], None] = log.warning,
) -> list[Planned]:
    """Every run that is asked for, in the order of the files, each with its settings checked.

    The ablations of ablations.yaml were written for the settings that came with them. Whoever has changed
    those is not kept from the rest: one that does not fit, and was not asked for by name, is left out.

    Args:
        names: of the ablations; none are all of them.
        seeds: instead of those that the ablations give.
        warn: gets a line for each that is left out.

    Raises:
        RevelaError: no such ablation, or overrides that give faulty settings, of those of the params file,
            of those named, or of all; all faults are listed.
    """
    known = {ablation.name: ablation for ablation in settings.ablations}
    missing = [name for name in names if name not in known]
    if missing or not known:
        raise RevelaError(
            f"no ablation {', '.join(missing) or 'at all'} in {ABLATIONS_FILE} or the section `ablations` of "
            f"the params file; there are {', '.join(known) or 'none'}."
        )
    runs: list[Planned] = []
    faults: list[str] = []
    left_out: list[str] = []
    for ablation in (known[name] for name in known if not names or name in names):
        for seed in seeds or ablation.seeds or (settings.seed,):
            try:
                whole = overridden(settings, ablation, seed)
                runs.append(Planned(ablation.name, seed, whole, ablation.overrides))
            except RevelaError as fault:
                (left_out if ablation.beside and not names else faults).append(str(fault))
                break
    if faults or not runs:
        raise RevelaError("\n".join(faults or left_out))
    for line in left_out:
        warn(f"left out, for it does not fit the settings: {line}")
    return runs


def overridden(settings: Settings, ablation: Ablation, seed: int) -> Settings:
    """`settings` with the ablation's values and another seed.

    Raises:
        RevelaError: a key that does not exist or must not change, or a value that is not allowed there.
    """
    raw = settings.model_dump(mode="json", exclude={"ablations"})
    raw["seed"] = seed
    for key, value in ablation.overrides.items():
        # A copy: anchors let several ablations hold one list, and a later key may change what is in it.
        _put(raw, key, copy.deepcopy(value), f"{ablation.where}: `{key}`")
    try:
        return Settings.model_validate(raw)
    except ValidationError as fault:
        lines = [
            f"{'.'.join(map(str, error['loc']))}: {error['msg']} (found {error['input']!r})"
            for error in fault.errors()
        ]
        raise RevelaError(f"{ablation.where}: {'; '.join(lines)}") from None


def digest(*parts: Any) -> str:
    """Twelve hex digits that name a combination of settings."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def _put(raw: dict[str, Any], key: str, value: Any, where: str) -> None:
    steps = key.split(".")
    if steps[0] not in SECTIONS or steps[:2] == ["evaluate", "benchmarks"]:
        raise RevelaError(
            f"{where} must be the same for all ablations, or is no section; those that may change are "
            f"{', '.join(SECTIONS)}, evaluate.benchmarks excepted."
        )
    holder: Any = raw
    for step in steps[:-1]:
        holder = _step(holder, step, where)
    if isinstance(holder, list):
        _put_entry(holder, steps[-1], value, where)
    elif isinstance(holder, dict):
        holder[steps[-1]] = value
    else:
        raise RevelaError(f"{where}: there is nothing that has a key `{steps[-1]}`.")


def _put_entry(entries: list[Any], step: str, value: Any, where: str) -> None:
    """Replace an entry, or append one with the number after the last."""
    if not step.isdecimal() or int(step) > len(entries):
        raise RevelaError(f"{where}: there is no `{step}`; `{len(entries)}` would append to the list.")
    entries[int(step) : int(step) + 1] = [value]


def _step(holder: Any, step: str, where: str) -> Any:
    try:
        return holder[int(step)] if isinstance(holder, list) else holder[step]
    except (KeyError, ValueError, IndexError, TypeError):
        raise RevelaError(f"{where}: there is no `{step}`; check the spelling.") from None

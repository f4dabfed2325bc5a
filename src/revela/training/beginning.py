"""What the first phase starts from: the backbone's retriever, and what is done to it before it learns."""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import torch

from revela.errors import RevelaError
from revela.files import atomic_directory, read_json, write_json
from revela.groups.reading import Groups
from revela.modeling.encoder import load_encoder
from revela.modeling.identifiers import split_identifiers
from revela.settings import Settings
from revela.training import processes
from revela.training.keeping import Validate
from revela.training.whiten import WHITENED, save_whitened

log = logging.getLogger(__name__)

IDENTIFIERS = "identifiers"
"""Name of the state whose tokenizer splits them."""

_COMPARED = "identifiers.json"


@dataclass(frozen=True)
class Beginning:
    """A retriever that is ready to be trained.

    Attributes:
        retriever: its folder.
        states: what it was on the way, in order, itself last; empty where nothing was done to it.
        compared: what validation said with and without splitting identifiers, where it was asked.
    """

    retriever: Path
    states: list[Path] = field(default_factory=list)
    compared: dict[str, float | bool] = field(default_factory=dict)


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
        validate: asked by ``split_identifiers: auto``.

    Raises:
        RevelaError: no validation where one has to decide, or an encoder that cannot be prepared so.
    """
    training = settings.training
    folder = backbone_dir / "retriever"
    states: list[Path] = []
    compared: dict[str, float | bool] = {}
    workspace.mkdir(parents=True, exist_ok=True)
    if training.split_identifiers:
        split = workspace / IDENTIFIERS
        if processes.is_first():
            if not split.is_dir():
                with atomic_directory(split) as target:
                    shutil.copytree(folder, target, dirs_exist_ok=True)
                    split_identifiers(target)
            if training.split_identifiers == "auto":
                compared = _compared(folder, split, workspace / _COMPARED, device, validate)
        processes.wait()
        if training.split_identifiers != "auto" or read_json(workspace / _COMPARED)["split"]:
            folder = split
            states.append(split)
    if training.whitening is not None:
        whitened = workspace / WHITENED
        if processes.is_first() and not whitened.is_dir():
            save_whitened(folder, groups, training.whitening, whitened, device=device, dtype=dtype)
        folder = whitened
        states.append(whitened)
    processes.agree({"start of the retriever": str(folder)})
    return Beginning(folder, states, compared)


def _compared(
    plain: Path, split: Path, place: Path, device: torch.device, validate: Validate | None
) -> dict[str, float | bool]:
    """Whether the start searches better where its tokenizer splits identifiers; asked once."""
    if not place.is_file():
        if validate is None:
            raise RevelaError(
                "training.split_identifiers: auto needs a validation to decide. Set training.validation, or "
                "say true or false."
            )
        scores = [validate(load_encoder(folder, torch.float32, device))[0] for folder in (plain, split)]
        write_json(
            place,
            {"split": scores[1] > scores[0], "with": round(scores[1], 6), "without": round(scores[0], 6)},
        )
    found: dict[str, float | bool] = read_json(place)
    log.info(
        "identifiers are %s: %.4f in validation with splitting, %.4f without",
        "split" if found["split"] else "left whole", found["with"], found["without"],
    )  # fmt: skip
    return found

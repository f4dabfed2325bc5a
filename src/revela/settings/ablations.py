"""Named experiments, each the settings with some values changed (verb ablate).

They stand in ``ablations.yaml``, which lies beside the settings, and in the settings' own section
`ablations`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, PrivateAttr, ValidationInfo, model_validator

from revela.errors import RevelaError
from revela.settings.base import Name, Strict
from revela.settings.reading import FILE

ABLATIONS_FILE = "ablations.yaml"


class Ablation(Strict):
    name: Name
    overrides: Annotated[dict[str, Any], Field(min_length=1)] = Field(
        description="dotted key of another section -> value, such as `objective.attention: paper`"
    )
    seeds: Annotated[list[int], Field(min_length=1)] | None = Field(
        None, description="null: the settings' own seed"
    )
    against: Name | None = Field(
        None,
        description="another ablation to compare with as well, such as the same time spent in another way",
    )
    _file: str = PrivateAttr("params.yaml")

    @model_validator(mode="after")
    def _remember_the_file(self, info: ValidationInfo) -> Ablation:
        if info.context is not None:
            self._file = info.context[FILE]
        return self

    @property
    def file(self) -> str:
        """Where it was read from."""
        return self._file

    @property
    def beside(self) -> bool:
        """Does it stand in ``ablations.yaml``, written for other settings than may lie beside it now?"""
        return Path(self._file).name == ABLATIONS_FILE

    @property
    def where(self) -> str:
        """The beginning of every message about it."""
        return f"{self._file}: ablations: {self.name}"


def _with_different_names(ablations: list[Ablation]) -> list[Ablation]:
    names = [ablation.name for ablation in ablations]
    if len(set(names)) != len(names):
        raise ValueError(f"`ablations` must have different names, found {', '.join(names)}")
    return ablations


Ablations = Annotated[list[Ablation], AfterValidator(_with_different_names)]


class AblationsFile(Strict):
    """The whole of ``ablations.yaml``."""

    ablations: Ablations


def check_together(ablations: Sequence[Ablation]) -> None:
    """Check the ablations of both files against one another.

    Raises:
        RevelaError: both files have one of the same name, or one is compared with none that there is.
    """
    files: dict[str, str] = {}
    for one in ablations:
        if one.name in files:
            raise RevelaError(f"{one.where}: {files[one.name]} has one of this name, too; rename either.")
        files[one.name] = one.file
    for one in ablations:
        if one.against is not None and one.against not in files.keys() - {one.name}:
            raise RevelaError(
                f"{one.where}: `against` is '{one.against}', which is no other ablation; there are "
                f"{', '.join(files)}"
            )

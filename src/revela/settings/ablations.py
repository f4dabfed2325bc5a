"""Section `ablations`: named experiments, each the settings with some values changed (verb ablate)."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from revela.settings.base import Name, Strict


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

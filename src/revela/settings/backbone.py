"""Section `backbone`: the pretrained models (stage prepare_backbone)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from revela.settings.base import Positive, Strict


class ModelSource(Strict):
    """Where a pretrained causal LM comes from, and how much of it is kept."""

    kind: Literal["wheel", "folder", "hub"]
    name: str = Field(description="distribution name, folder path, or hub id, by `kind`")
    revision: str | None = Field(None, description="hub revision (branch, tag or commit)")
    layers: Positive | None = Field(None, description="keep only the first n layers; null keeps all")

    @model_validator(mode="after")
    def _revision_needs_hub(self) -> ModelSource:
        if self.revision is not None and self.kind != "hub":
            raise ValueError("`revision` is only meaningful with `kind: hub`; remove it")
        return self


class RetrieverSource(ModelSource):
    """The retriever's backbone and the way it turns a text into one vector."""

    pooling: Literal["lasttoken", "mean", "weightedmean", "cls"] = "lasttoken"
    query_prompt: str = "query: "
    passage_prompt: str = "passage: "
    max_tokens: Annotated[int, Field(ge=8)] = 512


class BackboneSettings(Strict):
    retriever: RetrieverSource
    lm: ModelSource

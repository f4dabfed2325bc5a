"""Section `backbone`: the pretrained models (stage prepare_backbone)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from revela.settings.base import Positive, Strict


class ModelSource(Strict):
    """Where a pretrained model comes from, and how much of it is kept."""

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
    """The retriever's backbone and the way it turns a text into one vector.

    A sentence-transformers model brings all of that: then prompts and length are only given to change them.
    """

    pooling: Literal["lasttoken", "mean", "weightedmean", "cls"] | None = Field(
        None, description="null: the model's own, or lasttoken for a bare language model"
    )
    query_prompt: str | None = Field(None, description='null: the model\'s own, or "query: "')
    passage_prompt: str | None = Field(None, description='null: the model\'s own, or "passage: "')
    max_tokens: Annotated[int, Field(ge=8)] | None = Field(
        None, description="null: the model's own, or 512 for a bare language model"
    )


class BackboneSettings(Strict):
    retriever: RetrieverSource
    lm: ModelSource

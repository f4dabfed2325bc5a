"""An entry of `training.phases`: what trains, on which terms, reading what, for how long."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from revela.settings.base import Name, Positive, Strict
from revela.settings.batches import PairKind


class TemperatureSchedule(Strict):
    """From `start` to `end` over a phase, by equal factors."""

    start: Annotated[float, Field(gt=0)]
    end: Annotated[float, Field(gt=0)]

    def at(self, progress: float) -> float:
        """The temperature after this share (0 to 1) of the phase."""
        return self.start * (self.end / self.start) ** progress


Part = Literal["retriever", "lm"]
Term = Literal["revela", "contrastive", "replug"]


class Phase(Strict):
    """One stretch of training: what trains, on which weighted sum of terms, for how long."""

    name: Name
    train: Annotated[list[Part], Field(min_length=1)]
    terms: Annotated[dict[Term, Annotated[float, Field(gt=0)]], Field(min_length=1)]
    steps: Positive
    learning_rate: dict[Part, Annotated[float, Field(gt=0)]]
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    decay: Literal["constant", "linear", "cosine"] = "linear"
    temperature: Annotated[float, Field(gt=0)] | TemperatureSchedule | None = Field(
        None, description="of the term revela in this phase; null: objective.temperature"
    )
    weights: Literal["retriever", "bm25"] = Field(
        "retriever", description="whose similarities decide what the term revela lets chunks read"
    )
    until_gain: float | None = Field(
        None,
        description="end before `steps` once the mean of the last 3 measured gains is this many nats a token",
    )
    views: Literal["halves", "crops", "document"] = Field(
        "halves",
        description="what the term contrastive brings together: the parts of a chunk, two random crops "
        "of it, or two chunks of a document",
    )
    rows: Literal["chunks", "parts"] = Field(
        "chunks",
        description="what the term revela lets read each other: the chunks of a group, or twice as many "
        "rows, each chunk's query and the rest of it",
    )
    negatives: Literal["group", "corpus", "step"] = Field(
        "group",
        description="contrast chunks of one group, one chunk of each of as many groups, or all of a step",
    )
    contrastive_groups: Positive = Field(
        1, description="groups whose chunks are contrasted with one another in one step"
    )
    pairs: Positive | None = Field(
        None, description="read so many pairs of `batches.pairs` at a time instead of the chunks of a group"
    )
    mix_kinds: bool = Field(
        True,
        description="contrast pairs of all kinds with one another; false: kinds that have enough pairs come "
        "each in a turn of their own",
    )
    related_pairs: Positive = Field(
        1, description="of these, so many come together that look nearly alike: harder negatives"
    )
    related_kinds: list[PairKind] | None = Field(
        None,
        description="only pairs of these kinds come together, those of others singly and of different "
        "documents: in prose a neighbour's passage often answers the query, too; null: all kinds",
    )
    related_by: Literal["words", "retriever"] = Field(
        "words",
        description="whether their words look alike, or their queries to the retriever, as it begins",
    )
    lm_pairs: Positive | None = Field(
        None, description="of these, so many go through the language model, too; null: all"
    )
    weigh: Literal["losses", "gradients"] = Field(
        "losses",
        description="what the weights of `terms` are shares of: the loss, or the length of the gradient "
        "that reaches the retriever, where one term would else drown the other",
    )

    @model_validator(mode="after")
    def _coherent(self) -> Phase:
        if len(set(self.train)) != len(self.train):
            raise ValueError("`train` names a model twice")
        if set(self.learning_rate) != set(self.train):
            raise ValueError(
                f"`learning_rate` must have exactly the keys of `train` ({', '.join(self.train)}), "
                f"found {', '.join(self.learning_rate) or 'none'}"
            )
        if "lm" in self.train and "revela" not in self.terms:
            raise ValueError("`train` has `lm`, but only the term `revela` trains it; add that term")
        if "replug" in self.terms and "retriever" not in self.train:
            raise ValueError("the term `replug` trains the retriever alone; add `retriever` to `train`")
        contrasted = {
            "negatives": self.negatives == "corpus",
            "contrastive_groups": self.contrastive_groups > 1,
        }
        if self.negatives == "step" and "contrastive" not in self.terms:
            raise ValueError(f"`negatives` is for the term `contrastive`; found {', '.join(self.terms)}")
        if self.negatives == "step" and "replug" in self.terms:
            raise ValueError("`negatives: step` cannot be had beside the term `replug`")
        for key, changed in contrasted.items():
            if changed and set(self.terms) != {"contrastive"}:
                raise ValueError(
                    f"`{key}` is for phases whose only term is `contrastive`; found {', '.join(self.terms)}"
                )
        if self.views == "document" and self.negatives != "corpus":
            raise ValueError(
                "`views: document` needs `negatives: corpus`: another chunk of the document is no negative"
            )
        of_revela = {
            "temperature": self.temperature is not None,
            "weights": self.weights != "retriever",
            "until_gain": self.until_gain is not None,
            "rows": self.rows != "chunks",
        }
        for key, changed in of_revela.items():
            if changed and "revela" not in self.terms:
                raise ValueError(f"`{key}` is for the term `revela`; found {', '.join(self.terms)}")
        if self.rows == "parts" and ("replug" in self.terms or self.views != "halves"):
            raise ValueError("`rows: parts` goes with `views: halves` and without the term `replug`")
        if self.pairs is not None:
            self._check_pairs()
        for key, told in (
            ("related_pairs", self.related_pairs > 1),
            ("lm_pairs", self.lm_pairs is not None),
            ("mix_kinds", not self.mix_kinds),
        ):
            if told and self.pairs is None:
                raise ValueError(f"`{key}` is for phases that have `pairs`")
        for key, told in (
            ("related_by", self.related_by != "words"),
            ("related_kinds", self.related_kinds is not None),
        ):
            if told and self.related_pairs == 1:
                raise ValueError(f"`{key}` says how `related_pairs` are chosen; set that, too")
        if self.weigh == "gradients":
            self._check_weighing()
        if self.views != "halves" and "contrastive" not in self.terms:
            raise ValueError(f"`views` is for the term `contrastive`; found {', '.join(self.terms)}")
        if self.weights == "bm25" and "retriever" in self.train and set(self.terms) == {"revela"}:
            raise ValueError("with `weights: bm25` the term `revela` does not train the retriever")
        if self.warmup_steps >= self.steps:
            raise ValueError(f"`warmup_steps` must be below `steps` ({self.steps})")
        return self

    def _check_pairs(self) -> None:
        """A query and its passage take the places of a chunk's two parts."""
        if self.pairs == 1:
            raise ValueError("`pairs` must be 2 or more: they are compared with one another")
        if self.related_pairs > (self.pairs or 0):
            raise ValueError(f"`related_pairs` ({self.related_pairs}) must not exceed `pairs` ({self.pairs})")
        if self.lm_pairs is not None:
            if "revela" not in self.terms:
                raise ValueError(f"`lm_pairs` is for the term `revela`; found {', '.join(self.terms)}")
            if not 2 <= self.lm_pairs <= (self.pairs or 0):
                raise ValueError(f"`lm_pairs` ({self.lm_pairs}) must be 2 to `pairs` ({self.pairs})")
        if "replug" in self.terms:
            raise ValueError("`pairs` cannot be read by the term `replug`, which continues chunks")
        if "revela" in self.terms and self.rows != "parts":
            raise ValueError("`pairs` goes with `rows: parts` in the term `revela`")
        told = {
            "views": self.views != "halves",
            "negatives": self.negatives == "corpus",
            "contrastive_groups": self.contrastive_groups > 1,
        }
        for key, changed in told.items():
            if changed:
                raise ValueError(f"`{key}` says how chunks are read; take it out of a phase that has `pairs`")

    def _check_weighing(self) -> None:
        """Two terms whose gradients both reach the retriever, of a step that is taken apart."""
        if set(self.terms) != {"contrastive", "revela"}:
            raise ValueError(
                "`weigh: gradients` is for the terms `contrastive` and `revela` together; found "
                f"{', '.join(self.terms)}"
            )
        if self.negatives != "step":
            raise ValueError("`weigh: gradients` goes with `negatives: step`, which takes a step apart")
        if "retriever" not in self.train or self.weights != "retriever":
            raise ValueError(
                "`weigh: gradients` needs a retriever that both terms train: `train` with `retriever`, and "
                "`weights: retriever`"
            )

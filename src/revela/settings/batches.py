"""Section `batches`: documents to chunks to groups of B (stage build_batches)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from revela.settings.base import Positive, Strict
from revela.settings.generated import GeneratedSettings

Strategy = Literal["document", "topic", "random"]


PairKind = Literal[
    "docstring", "definition", "message", "title", "heading", "answer", "link", "caption",
    "sentence", "cloze", "halves", "generated",
]  # fmt: skip


class PairsSettings(Strict):
    """Queries and passages from the structure of the text: see `revela.pairs`."""

    kinds: Literal["auto"] | Annotated[dict[PairKind, Annotated[float, Field(gt=0)]], Field(min_length=1)] = (
        Field("auto", description="kind -> share, relative to the others; auto: by what the corpus has")
    )
    held_out: Annotated[float, Field(gt=0, le=0.5)] = Field(
        0.05, description="share of the documents that training never sees, to validate on"
    )
    generated: GeneratedSettings | None = Field(
        None, description="also pairs of kind `generated`, which a language model writes; null: none"
    )
    max_per_document: Positive = Field(64, description="pairs of one kind from one document at most")
    max_pairs: Positive | None = Field(20_000, description="pairs of one kind at most; null keeps all")

    @model_validator(mode="after")
    def _coherent(self) -> PairsSettings:
        asked = not isinstance(self.kinds, str) and "generated" in self.kinds
        if asked and self.generated is None:
            raise ValueError(
                "`kinds` asks for `generated`, but nothing says who writes them; set `generated: {}` beside "
                "it for the language model of backbone.lm"
            )
        if self.generated is not None and not asked and self.kinds != "auto":
            raise ValueError("`generated` is set, but `kinds` does not name it; add it there, or remove it")
        return self


class MixtureComponent(Strict):
    """A share of the groups: how they are formed, and from which sources."""

    strategy: Strategy
    weight: Annotated[float, Field(gt=0)] = Field(description="share of the groups, relative to the others")
    sources: Annotated[list[str], Field(min_length=1)] = Field(
        ["*"], description="shell patterns on the column `source` of the documents"
    )


class BatchesSettings(Strict):
    strategy: Literal["document", "topic", "random", "mixture"] = "document"
    mixture: list[MixtureComponent] = Field([], description="the components of `strategy: mixture`")
    group_size: Annotated[int, Field(ge=2)] = 16
    chunk_tokens: Annotated[int, Field(ge=16)] = 128
    min_chunk_tokens: Annotated[int, Field(ge=4)] = 32
    overlap_tokens: Annotated[int, Field(ge=0)] = Field(
        0, description="tokens at most that a chunk repeats of the one before it"
    )
    titles: bool = Field(
        False, description="the retriever reads a document's title before each of its passages"
    )
    query_ratio: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.5
    near_identical_jaccard: Annotated[float, Field(ge=0.5, le=0.95)] | None = Field(
        0.8, description="chunks this similar, by shingles, are duplicates: the later one is left out"
    )
    max_groups_per_document: Positive | None = 8
    topic_chunks_per_document: Positive = Field(
        4, description="chunks of one document in one `topic` group at most"
    )
    max_groups: Positive | None = None
    pairs: PairsSettings | None = Field(
        None, description="also pairs of a query and a passage, for phases that read `pairs`; null: none"
    )
    workers: Positive | None = Field(None, description="processes that chunk; null: one a core")

    @property
    def generated(self) -> GeneratedSettings | None:
        """What is asked of a language model; None where nothing is."""
        return None if self.pairs is None else self.pairs.generated

    @model_validator(mode="after")
    def _coherent(self) -> BatchesSettings:
        if self.min_chunk_tokens > self.chunk_tokens:
            raise ValueError(
                f"`min_chunk_tokens` ({self.min_chunk_tokens}) must not exceed "
                f"`chunk_tokens` ({self.chunk_tokens})"
            )
        if self.titles and self.min_chunk_tokens > 0.75 * self.chunk_tokens:
            raise ValueError(
                f"`min_chunk_tokens` ({self.min_chunk_tokens}) must leave a quarter of `chunk_tokens` "
                f"({self.chunk_tokens}) for `titles`"
            )
        if self.overlap_tokens > self.chunk_tokens // 2:
            raise ValueError(
                f"`overlap_tokens` ({self.overlap_tokens}) must not exceed half of "
                f"`chunk_tokens` ({self.chunk_tokens})"
            )
        if (self.strategy == "mixture") != bool(self.mixture):
            raise ValueError("`mixture` lists components exactly when `strategy` is `mixture`")
        return self

"""Section `corpus`: raw sources to clean documents (stage filter_corpus)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from revela.settings.base import Positive, Share, Strict
from revela.settings.filters import FilterSettings
from revela.settings.sources import Source


class NearDuplicateSettings(Strict):
    """Documents that share most of their word n-grams with one that stands before them."""

    jaccard: Annotated[float, Field(ge=0.5, le=0.95)] = Field(
        0.8, description="dropped from this Jaccard similarity of the two sets of shingles on"
    )
    shingle_words: Annotated[int, Field(ge=1)] = Field(5, description="words of one shingle")


class DecontaminationSettings(Strict):
    """Overlap with the queries and judged documents of the configured benchmarks. `null` switches off."""

    words: Annotated[int, Field(ge=5)] | None = Field(
        13, description="a document sharing this many consecutive words with a benchmark is dropped"
    )
    containment: Annotated[float, Field(ge=0.2, le=1)] | None = Field(
        0.5,
        description="a document that has this share of a benchmark text's shingles is dropped, "
        "for benchmark texts of 20 words and more",
    )
    shingle_words: Annotated[int, Field(ge=2)] = Field(3, description="words of one of those shingles")


class CorpusSettings(Strict):
    sources: Annotated[list[Source], Field(min_length=1)]
    filters: FilterSettings = FilterSettings()
    near_duplicates: NearDuplicateSettings | None = NearDuplicateSettings()
    decontamination: DecontaminationSettings = DecontaminationSettings()
    max_malformed_share: Share = 0.01
    max_record_megabytes: Annotated[float, Field(gt=0)] = Field(
        16.0, description="a longer file or row is refused unread, so that memory stays bounded"
    )
    keep_dropped: bool = Field(True, description="write what was dropped, by reason, beside the corpus")
    samples_per_reason: Annotated[int, Field(ge=0)] = Field(
        5, description="dropped documents shown in the report, a reason"
    )
    executor: Literal["local", "ray"] = Field("local", description="processes of this machine, or Ray Data")
    workers: Positive | None = Field(None, description="processes that filter; null: one a core")

    @model_validator(mode="after")
    def _weights_for_all_or_none(self) -> CorpusSettings:
        without = [number for number, source in enumerate(self.sources) if source.weight is None]
        if 0 < len(without) < len(self.sources):
            raise ValueError(
                f"`weight` must stand at every source or at none; missing at sources.{without[0]}"
            )
        return self

"""Section `registry`: where and under which name retrievers are registered (`revela register`)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from revela.settings.base import Name, Strict


class RegistrySettings(Strict):
    experiment: str = "revela"
    model_name: Name = "revela-retriever"
    primary_benchmark: str = "docstrings"
    primary_metric: Literal["ndcg_at_10", "mrr_at_10", "recall_at_10", "recall_at_100"] = "ndcg_at_10"
    guarded: list[str] | None = Field(
        None, description="benchmarks on which a champion must not be worse; null: all but the primary one"
    )
    max_megabytes: Annotated[float, Field(gt=0)] | None = None
    min_texts_per_second: Annotated[float, Field(gt=0)] | None = Field(
        None, description="encoded by a fresh process, short texts"
    )

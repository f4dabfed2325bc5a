"""Section `registry`: where and under which name retrievers are registered (`revela register`)."""

from __future__ import annotations

from typing import Literal

from revela.settings.base import Name, Strict


class RegistrySettings(Strict):
    experiment: str = "revela"
    model_name: Name = "revela-retriever"
    primary_benchmark: str = "docstrings"
    primary_metric: Literal["ndcg_at_10", "mrr_at_10", "recall_at_10", "recall_at_100"] = "ndcg_at_10"

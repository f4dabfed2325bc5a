"""Section `evaluate`: benchmarks and how they are scored (stage evaluate)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from revela.settings.base import Name, Positive, Share, Strict


class DocstringsBenchmark(Strict):
    """First sentence of a standard-library docstring -> the function without it."""

    kind: Literal["docstrings"]
    name: Name = "docstrings"
    limit: Positive | None = Field(None, description="keep only this many pairs (for quick checks)")


class ClassesBenchmark(Strict):
    """First sentence of a standard-library class's docstring -> the class without it."""

    kind: Literal["classes"]
    name: Name = "classes"
    limit: Positive | None = Field(None, description="keep only this many pairs (for quick checks)")


class ErrorsBenchmark(Strict):
    """Message of an exception -> the standard-library function that raises it, the message taken out."""

    kind: Literal["errors"]
    name: Name = "errors"
    limit: Positive | None = Field(None, description="keep only this many pairs (for quick checks)")


class BeirBenchmark(Strict):
    """A folder in BEIR layout: corpus.jsonl, queries.jsonl (plain or .gz), qrels/<split>.tsv."""

    kind: Literal["beir"]
    name: Name
    path: Path
    split: str = "test"
    code: bool = Field(False, description="documents are code: BM25 also with identifiers split")


BenchmarkSettings = Annotated[
    DocstringsBenchmark | ClassesBenchmark | ErrorsBenchmark | BeirBenchmark, Field(discriminator="kind")
]


class Bm25Settings(Strict):
    """k1 and b as Pyserini/BEIR use them for short and mixed passages."""

    k1: Annotated[float, Field(gt=0)] = 0.9
    b: Share = 0.4


class EvaluateSettings(Strict):
    benchmarks: Annotated[list[BenchmarkSettings], Field(min_length=1)]
    bm25: Bm25Settings = Bm25Settings()
    max_tokens: Annotated[int, Field(ge=8)] = 256
    batch_size: Positive = 32
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    every_phase: bool = True
    resamples: Annotated[int, Field(ge=100)] = 10_000

    @model_validator(mode="after")
    def _benchmark_names_differ(self) -> EvaluateSettings:
        names = [benchmark.name for benchmark in self.benchmarks]
        if len(set(names)) != len(names):
            raise ValueError(f"`benchmarks` must have different names, found {', '.join(names)}")
        return self

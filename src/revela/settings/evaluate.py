"""Section `evaluate`: benchmarks and how they are scored (stage evaluate)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from revela.settings.base import Name, Positive, Share, Strict

RESERVED = ("bm25", "bm25_identifiers", "untrained", "retriever", "hybrid")
"""Names of models in every report."""


class StandardLibraryBenchmark(Strict):
    """What the benchmarks made of the running Python's standard library have in common."""

    name: Name
    half: Literal["dev", "test"] | None = Field(
        None,
        description="only the pairs of every other source file: what `dev` has chosen, `test` judges",
    )
    limit: Positive | None = Field(None, description="keep only this many pairs (for quick checks)")


class DocstringsBenchmark(StandardLibraryBenchmark):
    """First sentence of a standard-library docstring -> the function without it."""

    kind: Literal["docstrings"]
    name: Name = "docstrings"


class ClassesBenchmark(StandardLibraryBenchmark):
    """First sentence of a standard-library class's docstring -> the class without it."""

    kind: Literal["classes"]
    name: Name = "classes"


class ErrorsBenchmark(StandardLibraryBenchmark):
    """Message of an exception -> the standard-library function that raises it, the message taken out."""

    kind: Literal["errors"]
    name: Name = "errors"


class BeirBenchmark(Strict):
    """A folder in BEIR layout: corpus.jsonl, queries.jsonl (plain or .gz), qrels/<split>.tsv."""

    kind: Literal["beir"]
    name: Name
    path: Path
    split: str = "test"
    code: bool = Field(False, description="documents are code: BM25 also with identifiers split")


class MtebBenchmark(Strict):
    """A retrieval task of mteb, or all of BEIR, CoIR, BRIGHT or NanoBEIR; needs the extra `mteb`."""

    kind: Literal["mteb"]
    name: Name = Field(description="as mteb spells it: SciFact, NanoBEIR, ...")
    subset: str | None = Field(None, description="only this subset of a task that has several")
    code: bool | None = Field(None, description="BM25 also with identifiers split; null: as mteb says")


BenchmarkSettings = Annotated[
    DocstringsBenchmark | ClassesBenchmark | ErrorsBenchmark | BeirBenchmark | MtebBenchmark,
    Field(discriminator="kind"),
]


class EncoderSource(Strict):
    """A trained encoder to compare with."""

    name: Name = Field(description="its name in reports")
    kind: Literal["wheel", "folder", "hub"]
    source: str = Field(description="distribution name, folder path, or hub id, by `kind`")
    revision: str | None = Field(None, description="hub revision (branch, tag or commit)")

    @model_validator(mode="after")
    def _coherent(self) -> EncoderSource:
        if self.revision is not None and self.kind != "hub":
            raise ValueError("`revision` is only meaningful with `kind: hub`; remove it")
        if self.name in RESERVED or self.name.startswith("after_"):
            raise ValueError(f"`name` must not be one of {', '.join(RESERVED)} or begin with after_")
        return self


class Bm25Settings(Strict):
    """k1 and b as Pyserini/BEIR use them for short and mixed passages."""

    k1: Annotated[float, Field(gt=0)] = 0.9
    b: Share = 0.4


class EvaluateSettings(Strict):
    benchmarks: Annotated[list[BenchmarkSettings], Field(min_length=1)]
    bm25: Bm25Settings = Bm25Settings()
    encoders: list[EncoderSource] = Field([])
    max_tokens: Annotated[int, Field(ge=8)] | None = Field(
        None, description="kept of a text by all encoders; null is what each reads when it is used"
    )
    long_documents: Literal["truncate", "best_passage"] = Field(
        "truncate", description="longer texts are cut, or split, the best passage counting"
    )
    batch_size: Positive = 32
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    every_phase: bool = True
    test: Literal["randomisation", "t"] = Field("randomisation", description="the paired test")
    resamples: Annotated[int, Field(ge=100)] = 10_000

    @model_validator(mode="after")
    def _benchmark_names_differ(self) -> EvaluateSettings:
        names = [benchmark.name for benchmark in self.benchmarks]
        if len(set(names)) != len(names):
            raise ValueError(f"`benchmarks` must have different names, found {', '.join(names)}")
        encoders = [encoder.name for encoder in self.encoders]
        if len(set(encoders)) != len(encoders):
            raise ValueError(f"`encoders` must have different names, found {', '.join(encoders)}")
        return self

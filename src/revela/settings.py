"""``params.yaml`` as typed settings: one model a stage, every fault named at once.

Unknown keys and values out of range are refused with the key's full path, the value found and
what is allowed. Nothing here imports torch, so that a typo is reported in well under a second.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from revela.errors import RevelaError

Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]


class Strict(BaseModel):
    """Base of every section: unknown keys are errors, instances are immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True)


# --- prepare_backbone ---------------------------------------------------------------------------


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

    pooling: Literal["lasttoken", "mean", "cls"] = "lasttoken"
    query_prompt: str = "query: "
    passage_prompt: str = "passage: "
    max_tokens: Annotated[int, Field(ge=8)] = 512


class BackboneSettings(Strict):
    retriever: RetrieverSource
    lm: ModelSource


# --- filter_corpus ------------------------------------------------------------------------------


Suffix = Annotated[str, Field(pattern=r"^\.[A-Za-z0-9_.]+$")]


class DistributionsSource(Strict):
    """Source files of installed Python distributions; one file is one document."""

    kind: Literal["distributions"]
    names: Annotated[list[str], Field(min_length=1)]
    suffixes: Annotated[list[Suffix], Field(min_length=1)] = [".py"]
    exclude: list[str] = Field([], description="shell patterns of paths left out, e.g. */tests/*")


class FolderSource(Strict):
    """Text, Markdown, reStructuredText and code files below a folder."""

    kind: Literal["folder"]
    path: Path
    suffixes: Annotated[list[Suffix], Field(min_length=1)] = [".txt", ".md", ".rst", ".py"]
    exclude: list[str] = Field([], description="shell patterns of paths left out, e.g. */tests/*")


class FilesSource(Strict):
    """JSONL (plain or .gz) or Parquet files; `path` may be a glob pattern."""

    kind: Literal["files"]
    path: str
    text_field: str = "text"
    id_field: str | None = Field("_id", description="rows without it are called <file>#<line>")
    title_field: str | None = Field("title", description="rows without it have an empty title")


class HubSource(Strict):
    """A Hugging Face data set, by name."""

    kind: Literal["hub"]
    name: str
    config: str | None = None
    split: str = "train"
    revision: str | None = None
    text_field: str = "text"
    id_field: str | None = None
    title_field: str | None = None
    limit: Positive | None = Field(None, description="read at most this many rows")


Source = Annotated[DistributionsSource | FolderSource | FilesSource | HubSource, Field(discriminator="kind")]


class FilterSettings(Strict):
    """Limits of the document rules. `null` switches a rule off."""

    min_words: Annotated[int, Field(ge=1)] | None = 40
    max_characters: Positive | None = 1_000_000
    max_mean_word_length: Annotated[float, Field(gt=0)] | None = 30.0
    max_line_length: Positive | None = 2000
    max_digit_share: Share | None = 0.3
    max_repeated_line_share: Share | None = 0.7
    drop_generated: bool = True
    drop_exact_duplicates: bool = True


class CorpusSettings(Strict):
    sources: Annotated[list[Source], Field(min_length=1)]
    filters: FilterSettings = FilterSettings()
    max_malformed_share: Share = 0.01
    decontaminate_words: Annotated[int, Field(ge=5)] | None = Field(
        13, description="a document sharing this many consecutive words with a benchmark is dropped"
    )


# --- build_batches ------------------------------------------------------------------------------


class BatchesSettings(Strict):
    strategy: Literal["document"] = "document"
    group_size: Annotated[int, Field(ge=2)] = 16
    chunk_tokens: Annotated[int, Field(ge=16)] = 128
    min_chunk_tokens: Annotated[int, Field(ge=4)] = 32
    query_ratio: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.5
    max_groups_per_document: Positive | None = 8
    max_groups: Positive | None = None

    @model_validator(mode="after")
    def _minimum_below_maximum(self) -> BatchesSettings:
        if self.min_chunk_tokens > self.chunk_tokens:
            raise ValueError(
                f"`min_chunk_tokens` ({self.min_chunk_tokens}) must not exceed "
                f"`chunk_tokens` ({self.chunk_tokens})"
            )
        return self


# --- train --------------------------------------------------------------------------------------


class ObjectiveSettings(Strict):
    """The maths of the losses; which of them is used when is the phases' business."""

    attention: Literal["paper", "joint"] = "joint"
    temperature: Annotated[float, Field(gt=0)] = 0.02
    v_norm: bool = True
    min_weight: Annotated[float, Field(ge=0, lt=1)] = 1e-6
    top_k: Positive | None = 4
    contrastive_temperature: Annotated[float, Field(gt=0)] = 0.05


class LoraSettings(Strict):
    rank: Positive = 64
    alpha: Positive = 64
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    # A list names modules of Llama-like models; `all-linear` fits every architecture.
    targets: Annotated[list[str], Field(min_length=1)] | Literal["all-linear"] = [
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
    ]  # fmt: skip


Part = Literal["retriever", "lm"]
Term = Literal["revela", "contrastive"]


class Phase(Strict):
    """One stretch of training: what trains, on which weighted sum of terms, for how long."""

    name: Name
    train: Annotated[list[Part], Field(min_length=1)]
    terms: Annotated[dict[Term, Annotated[float, Field(gt=0)]], Field(min_length=1)]
    steps: Positive
    learning_rate: dict[Part, Annotated[float, Field(gt=0)]]
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    decay: Literal["constant", "linear", "cosine"] = "linear"

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
        if self.warmup_steps >= self.steps:
            raise ValueError(f"`warmup_steps` must be below `steps` ({self.steps})")
        return self


class TrainingSettings(Strict):
    phases: Annotated[list[Phase], Field(min_length=1)]
    lora: LoraSettings | None = LoraSettings()
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    groups_per_step: Positive = Field(
        1, description="groups of one optimizer step, over all processes together"
    )
    parallel: Literal["ddp", "fsdp"] = Field(
        "ddp", description="several processes: each holds the whole model (ddp), or a share of it (fsdp)"
    )
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    gradient_checkpointing: bool = False
    gather_group: bool = Field(
        False, description="the groups of all processes are one: B x processes chunks read each other"
    )
    retriever_mini_batch: Positive | None = Field(
        None, description="texts the retriever encodes at a time, activations recomputed; null keeps all"
    )
    lm_max_tokens: Annotated[int, Field(ge=8)] = 160
    save_every: Positive = 50
    gain_every: Positive = Field(
        5, description="steps from one measurement of the plain loss, and so of the gain, to the next"
    )

    @model_validator(mode="after")
    def _phase_names_differ(self) -> TrainingSettings:
        names = [phase.name for phase in self.phases]
        if len(set(names)) != len(names):
            raise ValueError(f"`phases` must have different names, found {', '.join(names)}")
        return self


# --- evaluate and register ----------------------------------------------------------------------


class DocstringsBenchmark(Strict):
    """First sentence of a standard-library docstring -> the function without it."""

    kind: Literal["docstrings"]
    name: Name = "docstrings"
    limit: Positive | None = Field(None, description="keep only this many pairs (for quick checks)")


class BeirBenchmark(Strict):
    """A folder in BEIR layout: corpus.jsonl, queries.jsonl (plain or .gz), qrels/<split>.tsv."""

    kind: Literal["beir"]
    name: Name
    path: Path
    split: str = "test"
    code: bool = Field(False, description="documents are code: BM25 also with identifiers split")


BenchmarkSettings = Annotated[DocstringsBenchmark | BeirBenchmark, Field(discriminator="kind")]


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


class RegistrySettings(Strict):
    experiment: str = "revela"
    model_name: Name = "revela-retriever"
    primary_benchmark: str = "docstrings"
    primary_metric: Literal["ndcg_at_10", "mrr_at_10", "recall_at_10", "recall_at_100"] = "ndcg_at_10"


class Settings(Strict):
    """The whole of ``params.yaml``."""

    seed: Annotated[int, Field(ge=0)] = 0
    backbone: BackboneSettings
    corpus: CorpusSettings
    batches: BatchesSettings
    objective: ObjectiveSettings
    training: TrainingSettings
    evaluate: EvaluateSettings
    registry: RegistrySettings = RegistrySettings()

    @model_validator(mode="after")
    def _across_sections(self) -> Settings:
        names = [benchmark.name for benchmark in self.evaluate.benchmarks]
        if self.registry.primary_benchmark not in names:
            raise ValueError(
                f"registry.primary_benchmark is '{self.registry.primary_benchmark}', "
                f"but evaluate.benchmarks has only {', '.join(names)}"
            )
        return self


def load_settings(path: Path | str = "params.yaml") -> Settings:
    """Read and check a params file.

    Raises:
        RevelaError: the file is missing, is not YAML, or has faults; every fault is listed.
    """
    path = Path(path)
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RevelaError(f"{path}: no such file. Run from the project's root, or pass --params.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as fault:
        raise RevelaError(f"{path}: not valid YAML: {fault}") from None
    if not isinstance(raw, dict):
        raise RevelaError(f"{path}: expected a mapping of sections, found {type(raw).__name__}.")
    try:
        return Settings.model_validate(raw)
    except ValidationError as fault:
        lines = [_describe(error) for error in fault.errors()]
        raise RevelaError(
            f"{path}: {len(lines)} fault(s)\n" + "\n".join(f"  {line}" for line in lines)
        ) from None


def _describe(error: Any) -> str:
    """One pydantic error as `key: what is wrong (found …)`."""
    key = ".".join(str(part) for part in error["loc"]) or "(top level)"
    kind = error["type"]
    if kind == "extra_forbidden":
        return f"{key}: unknown key (found {error['input']!r}); check the spelling or remove it"
    if kind == "missing":
        return f"{key}: required, but missing"
    if kind == "value_error":
        return f"{key}: {error['ctx']['error']}"
    return f"{key}: {error['msg']} (found {error['input']!r})"

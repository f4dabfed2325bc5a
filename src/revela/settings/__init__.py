"""``params.yaml`` as typed settings: one module a section, every fault named at once.

Unknown keys and values out of range are refused with the key's full path, the value found and
what is allowed. Nothing here imports torch, so that a typo is reported in well under a second.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, ValidationError, model_validator

from revela.errors import RevelaError
from revela.settings.ablations import Ablation
from revela.settings.backbone import BackboneSettings, ModelSource, RetrieverSource
from revela.settings.base import Strict
from revela.settings.batches import BatchesSettings, MixtureComponent
from revela.settings.corpus import CorpusSettings, DecontaminationSettings, NearDuplicateSettings
from revela.settings.evaluate import (
    BeirBenchmark,
    BenchmarkSettings,
    Bm25Settings,
    ClassesBenchmark,
    DocstringsBenchmark,
    EncoderSource,
    ErrorsBenchmark,
    EvaluateSettings,
    MtebBenchmark,
)
from revela.settings.filters import FilterSettings
from revela.settings.registry import RegistrySettings
from revela.settings.sources import (
    DistributionsSource,
    FilesSource,
    FolderSource,
    GitSource,
    HubSource,
    PresetSource,
    Source,
    StackExchangeSource,
)
from revela.settings.training import (
    LmCheckSettings,
    LoraSettings,
    ObjectiveSettings,
    Part,
    Phase,
    ProbeSettings,
    TemperatureSchedule,
    Term,
    TrainingSettings,
    WhiteningSettings,
)

__all__ = [
    "Ablation",
    "BackboneSettings",
    "BatchesSettings",
    "BeirBenchmark",
    "BenchmarkSettings",
    "Bm25Settings",
    "ClassesBenchmark",
    "CorpusSettings",
    "DecontaminationSettings",
    "DistributionsSource",
    "DocstringsBenchmark",
    "EncoderSource",
    "ErrorsBenchmark",
    "EvaluateSettings",
    "FilesSource",
    "FilterSettings",
    "FolderSource",
    "GitSource",
    "HubSource",
    "LmCheckSettings",
    "LoraSettings",
    "MixtureComponent",
    "ModelSource",
    "MtebBenchmark",
    "NearDuplicateSettings",
    "ObjectiveSettings",
    "Part",
    "Phase",
    "PresetSource",
    "ProbeSettings",
    "RegistrySettings",
    "RetrieverSource",
    "Settings",
    "Source",
    "StackExchangeSource",
    "TemperatureSchedule",
    "Term",
    "TrainingSettings",
    "WhiteningSettings",
    "load_settings",
]


def _unlimited(benchmark: BenchmarkSettings) -> BenchmarkSettings:
    return benchmark.model_copy(update={"limit": None}) if hasattr(benchmark, "limit") else benchmark


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
    ablations: list[Ablation] = Field([])

    @model_validator(mode="after")
    def _across_sections(self) -> Settings:
        ablations = [ablation.name for ablation in self.ablations]
        if len(set(ablations)) != len(ablations):
            raise ValueError(f"`ablations` must have different names, found {', '.join(ablations)}")
        for ablation in self.ablations:
            if ablation.against is not None and ablation.against not in set(ablations) - {ablation.name}:
                raise ValueError(
                    f"ablations: {ablation.name}: `against` is '{ablation.against}', which is no other "
                    f"ablation; there are {', '.join(ablations)}"
                )
        whitening, pooling = self.training.whitening, self.backbone.retriever.pooling
        if whitening is not None and whitening.token_weights is not None and pooling != "mean":
            raise ValueError(
                "training.whitening.token_weights weights the tokens of a mean: set "
                f"backbone.retriever.pooling: mean (found {pooling}), or token_weights: null"
            )
        names = [benchmark.name for benchmark in self.evaluate.benchmarks]
        watched = self.training.probe.benchmark if self.training.probe is not None else None
        if watched is not None and _unlimited(watched) not in map(_unlimited, self.evaluate.benchmarks):
            raise ValueError(
                f"training.probe.benchmark is '{watched.name}', but evaluate.benchmarks has no such one (but "
                "for its limit): the corpus is kept free of the texts of those alone"
            )
        if self.registry.primary_benchmark not in names:
            raise ValueError(
                f"registry.primary_benchmark is '{self.registry.primary_benchmark}', "
                f"but evaluate.benchmarks has only {', '.join(names)}"
            )
        # An entry of kind mteb may stand for many benchmarks, whose names only mteb knows.
        if not any(benchmark.kind == "mteb" for benchmark in self.evaluate.benchmarks):
            unknown = [name for name in self.registry.guarded or [] if name not in names]
            if unknown:
                raise ValueError(
                    f"registry.guarded has {', '.join(unknown)}, but evaluate.benchmarks has only "
                    f"{', '.join(names)}"
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
    # A tag in parentheses says which form of a value was tried, and is no key.
    parts = [str(part) for part in error["loc"] if not str(part).startswith("(")]
    key = ".".join(parts) or "(top level)"
    kind = error["type"]
    if kind == "extra_forbidden":
        return f"{key}: unknown key (found {error['input']!r}); check the spelling or remove it"
    if kind == "missing":
        return f"{key}: required, but missing"
    if kind == "value_error":
        return f"{key}: {error['ctx']['error']}"
    return f"{key}: {error['msg']} (found {error['input']!r})"

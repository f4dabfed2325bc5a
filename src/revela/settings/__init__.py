"""``params.yaml`` and ``ablations.yaml`` as typed settings: one module a section, every fault named at once.

Unknown keys and values out of range are refused with the key's full path, the value found and
what is allowed. Nothing here imports torch, so that a typo is reported in well under a second.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from revela.settings.ablations import ABLATIONS_FILE, Ablation, Ablations, AblationsFile, check_together
from revela.settings.backbone import BackboneSettings, ModelSource, RetrieverSource
from revela.settings.base import Strict
from revela.settings.batches import (
    BatchesSettings,
    MixtureComponent,
    PairKind,
    PairsSettings,
)
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
    StandardLibraryBenchmark,
)
from revela.settings.filters import FilterSettings
from revela.settings.generated import GeneratedSettings, QuestionExample
from revela.settings.phases import Part, Phase, TemperatureSchedule, Term
from revela.settings.reading import checked
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
    ProbeSettings,
    TrainingSettings,
    ValidationSettings,
    WhiteningSettings,
)

__all__ = [
    "ABLATIONS_FILE",
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
    "GeneratedSettings",
    "GitSource",
    "HubSource",
    "LmCheckSettings",
    "LoraSettings",
    "MixtureComponent",
    "ModelSource",
    "MtebBenchmark",
    "NearDuplicateSettings",
    "ObjectiveSettings",
    "PairKind",
    "PairsSettings",
    "Part",
    "Phase",
    "PresetSource",
    "ProbeSettings",
    "QuestionExample",
    "RegistrySettings",
    "RetrieverSource",
    "Settings",
    "Source",
    "StackExchangeSource",
    "StandardLibraryBenchmark",
    "TemperatureSchedule",
    "Term",
    "TrainingSettings",
    "ValidationSettings",
    "WhiteningSettings",
    "load_settings",
]


def _unlimited(benchmark: BenchmarkSettings) -> BenchmarkSettings:
    return benchmark.model_copy(update={"limit": None}) if hasattr(benchmark, "limit") else benchmark


def _overlap(one: BenchmarkSettings, other: BenchmarkSettings) -> bool:
    """Whether two benchmarks have questions in common, whatever they are called and however much is taken."""
    halves = {half for half in (getattr(one, "half", None), getattr(other, "half", None)) if half}
    return _bare(one) == _bare(other) and len(halves) < 2


def _bare(benchmark: BenchmarkSettings) -> dict[str, object]:
    return benchmark.model_dump(exclude={"name", "half", "limit", "code"})


class Settings(Strict):
    """The whole of ``params.yaml``; read with :func:`load_settings`, also the ablations beside it."""

    seed: Annotated[int, Field(ge=0)] = 0
    backbone: BackboneSettings
    corpus: CorpusSettings
    batches: BatchesSettings
    objective: ObjectiveSettings
    training: TrainingSettings
    evaluate: EvaluateSettings
    registry: RegistrySettings = RegistrySettings()
    ablations: Ablations = Field([])

    @model_validator(mode="after")
    def _across_sections(self) -> Settings:
        pooling = self.backbone.retriever.pooling
        if self.training.token_weights not in (None, "auto") and pooling not in (None, "mean"):
            raise ValueError(
                "training.token_weights weights the tokens of a mean: set "
                f"backbone.retriever.pooling: mean (found {pooling}), or token_weights: null"
            )
        names = [benchmark.name for benchmark in self.evaluate.benchmarks]
        watched = self.training.probe.benchmark if self.training.probe is not None else None
        if watched is not None and _unlimited(watched) not in map(_unlimited, self.evaluate.benchmarks):
            raise ValueError(
                f"training.probe.benchmark is '{watched.name}', but evaluate.benchmarks has no such one (but "
                "for its limit): the corpus is kept free of the texts of those alone"
            )
        self._check_pairs()
        if self.objective.start_penalty and (
            self.training.parallel == "fsdp"
            or any(phase.negatives == "step" for phase in self.training.phases)
        ):
            raise ValueError(
                "objective.start_penalty has not been made to work with `parallel: fsdp` or "
                "`negatives: step`; set it to 0 or take these out"
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

    def _check_pairs(self) -> None:
        validation = self.training.validation
        chosen_by = None if validation is None else validation.benchmark
        if chosen_by is not None and any(_overlap(chosen_by, one) for one in self.evaluate.benchmarks):
            raise ValueError(
                f"training.validation.benchmark '{chosen_by.name}' is one of evaluate.benchmarks: what "
                "decides which state is kept cannot judge it afterwards. Name another split or half"
            )
        if self.batches.pairs is not None:
            return
        for number, phase in enumerate(self.training.phases):
            if phase.pairs is not None:
                raise ValueError(
                    f"training.phases.{number} ('{phase.name}') reads `pairs`, but there are none: set "
                    "batches.pairs, for example `pairs: {kinds: auto}`"
                )
        if validation is not None and validation.benchmark is None:
            raise ValueError(
                "training.validation needs pairs that are held out, or questions: set batches.pairs, for "
                "example `pairs: {kinds: auto}`, or training.validation.benchmark"
            )


def load_settings(path: Path | str = "params.yaml") -> Settings:
    """Read and check a params file, and ``ablations.yaml`` where there is one in the same folder.

    The ablations of that file follow those of the params file itself.

    Raises:
        RevelaError: the file is missing; either file is not YAML or has faults, and every fault of it is
            listed; their ablations do not go together.
    """
    path = Path(path)
    settings = checked(path, Settings)
    beside = path.with_name(ABLATIONS_FILE)
    if beside.is_file():
        ablations = [*settings.ablations, *checked(beside, AblationsFile).ablations]
        settings = settings.model_copy(update={"ablations": ablations})
    check_together(settings.ablations)
    return settings

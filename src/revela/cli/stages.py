"""The stages that `dvc.yaml` names: from raw text to an evaluated retriever and its page."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from revela import paths
from revela.cli.allocator import keep_freed_memory
from revela.cli.app import LOG_WIDTH, ParamsOption, project_root
from revela.errors import RevelaError
from revela.settings import Settings, load_settings

if TYPE_CHECKING:
    from revela.pairs.generated import Generated


def prepare_backbone(params: ParamsOption = paths.PARAMS) -> None:
    """Fetch the pretrained models and write them to data/backbone as plain folders."""
    settings = load_settings(params)
    from revela.modeling import backbone

    backbone.prepare_backbone(settings.backbone, paths.BACKBONE)


def filter_corpus(params: ParamsOption = paths.PARAMS) -> None:
    """Read the raw text, drop what should not be learnt from, write data/documents."""
    settings = load_settings(params)
    from revela.corpus.pipeline import filter_corpus as run
    from revela.evaluation.benchmarks import protected_texts

    run(
        settings.corpus,
        protected_texts(settings.evaluate),
        paths.DOCUMENTS,
        paths.FILTER_REPORT,
        project_root() / paths.CACHE / "filter_corpus",
    )


def build_batches(params: ParamsOption = paths.PARAMS) -> None:
    """Cut documents into chunks, chunks into groups, find pairs; write data/groups."""
    settings = load_settings(params)
    _require(paths.DOCUMENTS, paths.BACKBONE)
    from revela.evaluation.benchmarks import protected_queries
    from revela.groups.pipeline import build_batches as run

    run(
        settings.batches,
        settings.seed,
        paths.DOCUMENTS,
        paths.BACKBONE / "retriever",
        paths.GROUPS,
        paths.BATCHES_REPORT,
        protected_queries(settings.evaluate) if settings.batches.pairs is not None else (),
        _generated(settings),
    )


def train(params: ParamsOption = paths.PARAMS) -> None:
    """Train retriever and language model phase by phase, write models/. Resumes after a kill."""
    settings = load_settings(params)
    _require(paths.BACKBONE, paths.GROUPS)
    keep_freed_memory()
    from revela.evaluation.probe import Probe
    from revela.evaluation.validation import validation_of
    from revela.training.pipeline import train as run

    run(
        settings,
        probe=None if settings.training.probe is None else Probe(settings.training.probe),
        validate=validation_of(settings, paths.GROUPS),
        backbone_dir=paths.BACKBONE,
        groups_dir=paths.GROUPS,
        models_dir=paths.MODELS,
        report_dir=paths.TRAIN_REPORT,
        checkpoints_dir=project_root() / paths.CHECKPOINTS,
    )


def evaluate(params: ParamsOption = paths.PARAMS) -> None:
    """Score BM25, the untrained backbone and the retriever, write results/evaluate."""
    settings = load_settings(params)
    _require(paths.DOCUMENTS, paths.BACKBONE, paths.MODELS)
    keep_freed_memory()
    from revela.corpus.pipeline import read_documents
    from revela.evaluation.pipeline import evaluate as run
    from revela.evaluation.vector_cache import VectorCache

    models = {"untrained": paths.BACKBONE / "retriever"}
    if settings.evaluate.every_phase:
        models |= {f"after_{folder.name}": folder for folder in _saved_phases(settings)}
    models["retriever"] = paths.MODELS / "retriever"
    run(
        settings.evaluate,
        settings.seed,
        models,
        (document.text for document in read_documents(paths.DOCUMENTS)),
        paths.EVALUATE_REPORT,
        # A log has no width to keep to, and rich's 80 columns would cut the models' names.
        Console(width=None if sys.stdout.isatty() else LOG_WIDTH),
        VectorCache(project_root() / paths.VECTORS),
    )


def report() -> None:
    """Put scores, curves, ablations and examples on one page, results/report."""
    from revela.reporting.render import write_report

    typer.echo(f"{write_report(paths.RESULTS, paths.REPORT)}")


_WRITTEN_BY = {
    paths.BACKBONE: "prepare_backbone",
    paths.DOCUMENTS: "filter_corpus",
    paths.GROUPS: "build_batches",
    paths.MODELS: "train",
}


def _require(*folders: Path) -> None:
    """Look for what earlier stages write, before the imports, which take seconds.

    Raises:
        RevelaError: with every folder that is not there, and the stage that writes it.
    """
    missing = [folder for folder in folders if not folder.is_dir()]
    if missing:
        lines = [
            f"{folder}: no such folder; the stage {_WRITTEN_BY[folder]} writes it." for folder in missing
        ]
        first = _WRITTEN_BY[missing[0]]
        raise RevelaError(
            "\n".join([*lines, f"Run `dvc repro {first}` first, or `dvc repro` for all stages."])
        )


def _generated(settings: Settings) -> Generated | None:
    """What a language model writes for the corpus; nothing heavy is imported where none is asked to."""
    if settings.batches.generated is None:
        return None
    from revela.questions.pipeline import generated_for

    keep_freed_memory()
    return generated_for(settings, paths.DOCUMENTS, paths.BACKBONE, project_root() / paths.CACHE)


def _saved_phases(settings: Settings) -> list[Path]:
    """What the retriever was before the first phase and after each one that trained it."""
    training = settings.training
    # Where the best state was kept, the last one is only one of them.
    chosen = training.validation is not None and training.keep == "best"
    phases = training.phases if chosen else training.phases[:-1]
    earlier = [phase.name for phase in phases if "retriever" in phase.train]
    folders = paths.MODELS / "phases"
    # Validation may have decided that there is none.
    before = [folders / name for name in training.before_phases() if (folders / name).is_dir()]
    return [*before, *(folders / name for name in earlier)]

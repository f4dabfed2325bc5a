"""The verb `check`."""

from __future__ import annotations

from rich.console import Console

from revela import paths
from revela.cli.app import ParamsOption
from revela.settings import Settings, load_settings


def check(params: ParamsOption = paths.PARAMS) -> None:
    """Check params.yaml and everything it points to, without long work."""
    settings = load_settings(params)
    _check_inputs(settings)
    Console().print(f"{params}: no faults found")


def _check_inputs(settings: Settings) -> None:
    """Everything that can be known to be missing before long work starts."""
    from revela.ablations.plan import plan
    from revela.corpus.sources import check_sources
    from revela.evaluation.benchmarks import protected_texts
    from revela.evaluation.encoders import find_encoder
    from revela.modeling.backbone import check_sources as check_backbones
    from revela.questions.pipeline import check_model

    check_sources(settings.corpus)
    check_backbones(settings.backbone)
    check_model(settings)
    for source in settings.evaluate.encoders:
        if source.kind != "hub":
            find_encoder(source)
    for run in plan(settings) if settings.ablations else []:
        if run.settings.corpus != settings.corpus:
            check_sources(run.settings.corpus)
        if run.settings.backbone != settings.backbone:
            check_backbones(run.settings.backbone)
        check_model(run.settings)
    protected_texts(settings.evaluate)

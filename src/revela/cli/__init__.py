"""The command line: one thin verb a stage, plus `check`, `ablate`, `register` and `bench`.

Heavy libraries are imported inside the verbs, so that ``--help`` and a faulty params.yaml answer at
once. A fault that the user can mend is printed without a traceback and ends with exit code 1.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.markup import escape

from revela import paths
from revela.cli.allocator import keep_freed_memory
from revela.errors import RevelaError
from revela.settings import Settings, load_settings

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="""Train a dense retriever on your own raw text, without labels.

The stages run in this order, usually by `dvc repro`, each reading what the one before it wrote:
**prepare-backbone**, **filter-corpus**, **build-batches**, **train**, **evaluate**; then **register**
puts the retriever into MLflow. Everything they do is set in `params.yaml`.""",
)

LOG_WIDTH = 140

ParamsOption = Annotated[
    Path, typer.Option("--params", "-p", help="The settings file.", envvar="REVELA_PARAMS")
]


@app.callback()
def _start(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Also messages of the libraries.")] = False,
) -> None:
    terminal = sys.stderr.isatty()
    handler: logging.Handler = (
        RichHandler(console=Console(stderr=True), show_path=False) if terminal else logging.StreamHandler()
    )
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(message)s" if terminal else "%(asctime)s %(message)s",
        datefmt="%H:%M:%S",
        handlers=[handler],
    )
    # Of the processes that torchrun starts, only the first tells how things go; all tell of faults.
    logging.getLogger("revela").setLevel(logging.INFO if _rank() == 0 else logging.WARNING)
    # Forked tokenizer threads: transformers warns on every data loader unless told either way.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")


@app.command()
def check(params: ParamsOption = paths.PARAMS) -> None:
    """Check params.yaml and everything it points to, without long work."""
    settings = load_settings(params)
    _check_inputs(settings)
    Console().print(f"{params}: no faults found")


@app.command()
def prepare_backbone(params: ParamsOption = paths.PARAMS) -> None:
    """Fetch the pretrained models and write them to data/backbone as plain folders."""
    settings = load_settings(params)
    from revela.modeling import backbone

    backbone.prepare_backbone(settings.backbone, paths.BACKBONE)


@app.command()
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
        _project_root() / paths.CACHE / "filter_corpus",
    )


@app.command()
def build_batches(params: ParamsOption = paths.PARAMS) -> None:
    """Cut documents into chunks and chunks into groups, write data/groups."""
    settings = load_settings(params)
    from revela.groups.pipeline import build_batches as run

    run(
        settings.batches,
        settings.seed,
        paths.DOCUMENTS,
        paths.BACKBONE / "retriever",
        paths.GROUPS,
        paths.BATCHES_REPORT,
    )


@app.command()
def train(params: ParamsOption = paths.PARAMS) -> None:
    """Train retriever and language model phase by phase, write models/. Resumes after a kill."""
    settings = load_settings(params)
    keep_freed_memory()
    from revela.evaluation.probe import Probe
    from revela.training.pipeline import train as run

    run(
        settings,
        probe=None if settings.training.probe is None else Probe(settings.training.probe),
        backbone_dir=paths.BACKBONE,
        groups_dir=paths.GROUPS,
        models_dir=paths.MODELS,
        report_dir=paths.TRAIN_REPORT,
        checkpoints_dir=_project_root() / paths.CHECKPOINTS,
    )


@app.command()
def evaluate(params: ParamsOption = paths.PARAMS) -> None:
    """Score BM25, the untrained backbone and the retriever, write results/evaluate."""
    settings = load_settings(params)
    keep_freed_memory()
    from revela.corpus.pipeline import read_documents
    from revela.evaluation.pipeline import evaluate as run

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
    )


@app.command()
def report() -> None:
    """Put scores, curves, ablations and examples on one page, results/report."""
    from revela.reporting.render import write_report

    typer.echo(f"{write_report(paths.RESULTS, paths.REPORT)}")


@app.command()
def ablate(
    names: Annotated[list[str] | None, typer.Argument(help="Ablations of params.yaml; none are all.")] = None,
    seeds: Annotated[str | None, typer.Option(help="Instead of the ablations' own: 0,1,2.")] = None,
    params: ParamsOption = paths.PARAMS,
) -> None:
    """Train and evaluate the ablations of params.yaml, write results/ablations. Resumes after a kill."""
    settings = load_settings(params)
    try:
        chosen = [int(seed) for seed in seeds.split(",")] if seeds else []
    except ValueError:
        raise RevelaError(f"--seeds {seeds}: expected whole numbers and commas, such as 0,1,2") from None
    from revela.ablations.plan import plan

    runs = plan(settings, names or (), chosen)
    keep_freed_memory()
    from revela.ablations.inputs import Inputs
    from revela.ablations.run import Places, run_ablations

    places = Places(
        made=Inputs(paths.BACKBONE, paths.DOCUMENTS, paths.GROUPS),
        checkpoints=_project_root() / paths.CHECKPOINTS,
        cache=_project_root() / paths.CACHE / "ablations",
        results=paths.ABLATIONS,
        reference=paths.EVALUATE_REPORT / "per_query.parquet",
    )
    width = None if sys.stdout.isatty() else LOG_WIDTH
    failed = run_ablations(settings, runs, places, Console(width=width))
    typer.echo((paths.ABLATIONS / "table.md").read_text(encoding="utf-8"))
    if failed:
        raise RevelaError(f"{len(failed)} of {len(runs)} runs failed\n" + "\n".join(failed))


@app.command()
def mteb(
    names: Annotated[
        list[str], typer.Argument(help="Tasks or benchmarks: SciFact, NanoBEIR, BEIR, CoIR, ...")
    ],
    model: Annotated[Path, typer.Option(help="A sentence-transformers folder.")] = paths.MODELS / "retriever",
    name: Annotated[str | None, typer.Option(help="The model's name in the results.")] = None,
    params: ParamsOption = paths.PARAMS,
) -> None:
    """Run mteb's own evaluation, write results/mteb in its format (for its leaderboard)."""
    settings = load_settings(params)
    from revela.evaluation.leaderboard import run_mteb

    scores = run_mteb(
        names,
        model,
        name or settings.registry.model_name,
        paths.MTEB,
        max_tokens=settings.evaluate.max_tokens,
        batch_size=settings.evaluate.batch_size,
        precision=settings.evaluate.precision,
    )
    for task, score in scores.items():
        typer.echo(f"{task}: {score:.4f}")
    typer.echo(f"results: {paths.MTEB}")


@app.command()
def register(
    promote: Annotated[bool, typer.Option(help="Let it become champion if it is better.")] = True,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write there what was done, for other programs.")
    ] = None,
    params: ParamsOption = paths.PARAMS,
) -> None:
    """Put the trained retriever with its scores and origins into MLflow's registry."""
    settings = load_settings(params)
    from revela.files import write_json
    from revela.registry.register import register as run

    # Each imports what takes seconds, and is asked only when there is something to register.
    def data_sets() -> Mapping[str, str]:
        from revela.registry.data_sets import content_digests

        return content_digests(settings.evaluate)

    def train_run() -> str | None:
        from revela.training.checkpoints import recall_run
        from revela.training.pipeline import training_fingerprint

        mark = training_fingerprint(settings, paths.BACKBONE, paths.GROUPS)
        return recall_run(_project_root() / paths.CHECKPOINTS / mark)

    registered = run(
        settings.registry,
        model_dir=paths.MODELS / "retriever",
        results_dir=paths.RESULTS,
        params=settings.model_dump(mode="json", exclude={"ablations"}),
        data_sets=data_sets,
        params_file=params,
        dvc_lock=paths.DVC_LOCK,
        train_run=train_run,
        promote=promote,
    )
    if json_file is not None:
        write_json(json_file, dataclasses.asdict(registered))
    console = Console()
    console.print(
        f"[bold]{settings.registry.model_name}[/] version {registered.version}: {registered.verdict}"
    )
    console.print(f"aliases:  {', '.join(registered.aliases) or 'none'}")
    console.print(f"load as:  {registered.model_uri}")
    console.print(f"store:    {registered.tracking_uri}  (look at it with `make ui`)", soft_wrap=True)


@app.command()
def promote(
    version: Annotated[str, typer.Argument(help="Of the registered model.")],
    reason: Annotated[str, typer.Option(help="Kept with the version.")] = "by hand",
    params: ParamsOption = paths.PARAMS,
) -> None:
    """Make a version champion by hand; the one until now becomes @previous."""
    from revela.registry.aliases import promote as run

    typer.echo(run(load_settings(params).registry, version, reason))


@app.command()
def lineage(
    version: Annotated[
        str,
        typer.Argument(help="A number or an alias; or a model's folder or a hash, to find its versions."),
    ] = "@champion",
    params: ParamsOption = paths.PARAMS,
) -> None:
    """Print what a registered version was made of: commit, hashes, settings, scores."""
    from revela.registry.lineage import lineage as run

    typer.echo(run(load_settings(params).registry, version))


@app.command()
def reproduce(
    version: Annotated[str, typer.Argument(help="A number, or an alias: @champion.")] = "@champion",
    allow_dirty: Annotated[
        bool, typer.Option("--allow-dirty", help="Although its code was not committed, or is another one.")
    ] = False,
    params: ParamsOption = paths.PARAMS,
) -> None:
    """Check a version out into cache/reproduce, verify its hashes, evaluate it again, compare the scores.

    Ends with exit code 1 where the scores do not agree.
    """
    settings = load_settings(params)
    from revela.registry.reproduction.reproduce import reproduce as run
    from revela.registry.reproduction.table import agreement, table

    rows = run(settings.registry, version, typer.echo, allow_dirty=allow_dirty)
    Console(width=None if sys.stdout.isatty() else LOG_WIDTH).print(table(rows))
    typer.echo(agreement(rows))
    raise typer.Exit(int(any(row.differs for row in rows)))


@app.command()
def rollback(params: ParamsOption = paths.PARAMS) -> None:
    """Make the previous champion champion again."""
    from revela.registry.aliases import rollback as run

    typer.echo(run(load_settings(params).registry))


@app.command()
def send_unsent() -> None:
    """Send to MLflow what it did not take while it was away. The next run does so by itself."""
    from revela import tracking

    uri = tracking.tracking_uri()
    done = tracking.send_unsent(tracking.connect(uri), uri, refused=True)
    typer.echo(f"sent to {tracking.without_password(uri)}: {done.points} points of {done.runs} runs")
    for left in done.elsewhere:
        typer.echo(f"left alone: {left}")
    if done.kept:
        raise RevelaError("not sent\n" + "\n".join(done.kept))


@app.command(
    add_help_option=False, context_settings={"allow_extra_args": True, "ignore_unknown_options": True}
)
def bench(context: typer.Context) -> None:
    """Measure time and memory of a step against a plain reference; `revela bench --help` for options."""
    if not paths.BENCH.is_file():
        raise RevelaError(
            f"{paths.BENCH}: no such file. The benchmark is part of the repository, not of the installed "
            "package: clone the repository and run `revela bench` in its root."
        )
    module = ".".join(paths.BENCH.with_suffix("").parts)
    # Spinning threads make a step several times slower where cores are shared with other work.
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}
    done = subprocess.run([sys.executable, "-m", module, *context.args], check=False, env=environment)
    raise typer.Exit(done.returncode)


def _saved_phases(settings: Settings) -> list[Path]:
    """The retriever after whitening and earlier phases; a phase that trained the LM alone left none."""
    earlier = [phase.name for phase in settings.training.phases[:-1] if "retriever" in phase.train]
    whitened = ["whitened"] if settings.training.whitening is not None else []
    return [paths.MODELS / "phases" / name for name in whitened + earlier]


def _check_inputs(settings: Settings) -> None:
    """Everything that can be known to be missing before long work starts."""
    from revela.ablations.plan import plan
    from revela.corpus.sources import check_sources
    from revela.evaluation.benchmarks import protected_texts
    from revela.evaluation.encoders import find_encoder
    from revela.modeling.backbone import check_sources as check_backbones

    check_sources(settings.corpus)
    check_backbones(settings.backbone)
    for source in settings.evaluate.encoders:
        if source.kind != "hub":
            find_encoder(source)
    for run in plan(settings) if settings.ablations else []:
        if run.settings.corpus != settings.corpus:
            check_sources(run.settings.corpus)
        if run.settings.backbone != settings.backbone:
            check_backbones(run.settings.backbone)
    protected_texts(settings.evaluate)


def _project_root() -> Path:
    """Where checkpoints live: the user's folder also when DVC runs an experiment in a temporary copy."""
    return Path(os.environ.get("DVC_ROOT", "."))


def _rank() -> int:
    """This process's number among those that torchrun started; 0 without it."""
    return int(os.environ.get("RANK", "0"))


def main() -> None:
    """Entry point of the console script.

    Exit codes: 0 done, 1 a fault that the message says how to mend, 2 wrong usage, 130 interrupted,
    143 ended by SIGTERM.
    """
    # As an exception, so that what is open is closed: an MLflow run would be shown as running for ever.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        app()
    except RevelaError as fault:
        # Escaped: messages quote what the user wrote, and rich would read its brackets as markup.
        who = f" (process {_rank()})" if "RANK" in os.environ else ""
        Console(stderr=True, highlight=False).print(
            f"[bold red]error{who}:[/] {escape(str(fault))}", soft_wrap=True
        )
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()

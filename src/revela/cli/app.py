"""The Typer application, and what its verbs share."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.logging import RichHandler

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
    logging.getLogger("revela").setLevel(logging.INFO if rank() == 0 else logging.WARNING)
    # Forked tokenizer threads: transformers warns on every data loader unless told either way.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")


def project_root() -> Path:
    """Where checkpoints live: the user's folder also when DVC runs an experiment in a temporary copy."""
    return Path(os.environ.get("DVC_ROOT", "."))


def rank() -> int:
    """This process's number among those that torchrun started; 0 without it."""
    return int(os.environ.get("RANK", "0"))

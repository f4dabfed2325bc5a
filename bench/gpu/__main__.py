"""``python -m bench.gpu``: what a GPU that comes for minutes needs, does and found."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from bench.gpu import commands
from bench.gpu.bundle import PART_MIB, PYTHON_GROUPS
from revela.errors import RevelaError

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def _start() -> None:
    """A GPU's minutes: prepared at home, spent there, reported at home."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    for name in ("revela", "bench"):
        logging.getLogger(name).setLevel(logging.INFO)


@app.command()
def prepare(
    folder: Annotated[Path, typer.Argument(help="Where the parts go; new, empty, or of an earlier prepare.")],
    parts_mib: Annotated[int, typer.Option(help="MiB of a part at most.")] = PART_MIB,
    corpus: Annotated[
        list[str] | None, typer.Option(help="NAME=texts.jsonl.gz, fields _id and text.")
    ] = None,
    benchmark: Annotated[list[str] | None, typer.Option(help="NAME=FOLDER in BEIR layout.")] = None,
    wheels: Annotated[bool, typer.Option(help="Fetch what that machine lacks.")] = True,
    python_groups: Annotated[int, typer.Option(help="Groups of Python at most.")] = PYTHON_GROUPS,
    layers: Annotated[
        int | None, typer.Option(min=1, help="Of the language model, the first so many.")
    ] = None,
    tiny: Annotated[bool, typer.Option("--tiny", help="Random models and little data: a rehearsal.")] = False,
) -> None:
    """Make what travels: parts of bounded size, and a join.sh that puts them together."""
    from bench.gpu import prepare as work

    made = work.prepare(
        folder, parts_mib=parts_mib, corpora=work.named_paths("--corpus", corpus or []),
        benchmarks=work.named_paths("--benchmark", benchmark or []), wheels=wheels,
        python_groups=python_groups, layers=layers, tiny=tiny,
    )  # fmt: skip
    for part in made["parts"]:
        typer.echo(f"{part['bytes'] / 2**20:6.1f} MiB  {folder / part['name']}")
    typer.echo(f"there: bash join.sh DEST {' '.join(part['name'] for part in made['parts'])}")


app.command()(commands.run)
app.command()(commands.report)

if __name__ == "__main__":
    try:
        app()
    except RevelaError as fault:
        raise SystemExit(f"error: {fault}") from None

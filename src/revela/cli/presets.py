"""The verb `preset`."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from revela import paths
from revela.cli.app import ParamsOption, project_root
from revela.errors import RevelaError
from revela.files import atomic_write_text
from revela.settings import ABLATIONS_FILE, load_settings
from revela.settings.presets import METHOD, ablations_of, presets, with_method


def preset(
    name: Annotated[str | None, typer.Argument(help="One of presets/; none lists them.")] = None,
    params: ParamsOption = paths.PARAMS,
) -> None:
    """Take a preset's method into params.yaml, and its ablations; text, benchmarks, registry stay."""
    folder = project_root() / paths.PRESETS
    known = presets(folder)
    console = Console(highlight=False)
    if name is None:
        for key, said in known.items():
            console.print(f"[bold]{key}[/]: {said}", soft_wrap=True)
        return
    if name not in known:
        raise RevelaError(f"preset '{name}': no such one. There are {', '.join(known)}.")
    try:
        before = params.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RevelaError(f"{params}: no such file. Run from the project's root, or pass --params.") from None
    after = with_method(before, (folder / f"{name}.yaml").read_text(encoding="utf-8"))
    console.print(_put(params, after, f"sections {', '.join(METHOD)} are those of {name}"), soft_wrap=True)
    ablations = ablations_of(folder, name)
    if ablations is not None:
        console.print(
            _put(params.with_name(ABLATIONS_FILE), ablations, f"the ablations of {name}"), soft_wrap=True
        )
    # What the user's other sections have that does not fit is said at once.
    load_settings(params)


def _put(path: Path, text: str, what: str) -> str:
    """Write a file and keep what was there before beside it; what was done, in words."""
    before = path.read_text(encoding="utf-8") if path.exists() else None
    if before == text:
        return f"{path} is that already"
    if before is None:
        atomic_write_text(path, text)
        return f"{path}: {what}"
    kept = _free(path.with_name(f"{path.name}.before-preset"))
    atomic_write_text(kept, before)
    atomic_write_text(path, text)
    return f"{path}: {what}; the file before is {kept}"


def _free(path: Path) -> Path:
    """The path, or the first with a number behind it that nothing has."""
    numbered = (path.with_name(f"{path.name}-{number}") for number in itertools.count(2))
    return next(one for one in itertools.chain([path], numbered) if not one.exists())

"""Installed distributions: the same ids on every machine, the version on record."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import pytest
from opened import checked, documents

from revela.errors import RevelaError
from revela.settings import DistributionsSource


def test_every_file_is_a_document_with_a_path_that_all_machines_share() -> None:
    rows = documents(DistributionsSource(kind="distributions", names=["click"]))
    assert [row.id for row in rows] == sorted(row.id for row in rows)
    core = next(row for row in rows if row.id == "click/core.py")
    assert core.kind == "python"
    assert core.source == f"distributions:click=={version('click')}"
    assert json.loads(core.metadata) == {"distribution": "click", "version": version("click")}
    import click.core

    assert core.text.encode() == Path(click.core.__file__).read_bytes()


def test_suffixes_and_exclude_choose_the_files() -> None:
    source = DistributionsSource(
        kind="distributions", names=["click"], suffixes=[".py"], exclude=["click/[!c]*", "*/_*"]
    )
    rows = documents(source)
    assert rows and all(row.id.startswith("click/c") for row in rows)


def test_a_missing_distribution_is_named_with_the_command_that_helps() -> None:
    with pytest.raises(RevelaError, match=r"not installed: no-such-thing.*pip install no-such-thing"):
        checked(DistributionsSource(kind="distributions", names=["click", "no-such-thing"]))


def test_a_distribution_without_a_matching_file_is_refused() -> None:
    with pytest.raises(RevelaError, match=r"click has no file ending in \.f90"):
        checked(DistributionsSource(kind="distributions", names=["click"], suffixes=[".f90"]))

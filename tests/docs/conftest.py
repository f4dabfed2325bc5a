"""The small project in which the pages' commands are run: one copy a page."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
import yaml
from page_reader import Reader
from pages import ROOT

# Of the repository, beside what the small project has of it: the pages name these.
PARTS = ("Makefile", "pyproject.toml", "constraints.txt", "presets", "flows", "prefect.yaml")

# Named by the pages, with overrides that change as much and cost nothing.
ABLATIONS = [
    {"name": "contrastive-longer", "overrides": {"training.phases": [
        {"name": "longer", "train": ["retriever"], "terms": {"contrastive": 1.0}, "steps": 3,
         "learning_rate": {"retriever": 1e-3}}]}},
    {"name": "halves", "overrides": {"objective.temperature": 0.2}},
]  # fmt: skip


@pytest.fixture(scope="session")
def finished_folder(repro_project, tmp_path_factory) -> Path:
    """A copy of the project after `dvc repro`, registered, with what a reader's clone has beside it."""
    folder = tmp_path_factory.mktemp("docs") / "project"
    shutil.copytree(repro_project.folder, folder, symlinks=True)
    for name in PARTS:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    # What `make setup` leaves: the tested environment under .venv, and its stamp.
    (folder / ".venv").mkdir()
    (folder / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    (folder / ".venv" / ".installed").touch()
    reader = Reader(folder)
    (folder / "ablations.yaml").write_text(yaml.safe_dump({"ablations": ABLATIONS}), encoding="utf-8")
    reader.types("revela register")
    return folder


@pytest.fixture
def reader(finished_folder: Path, tmp_path: Path) -> Reader:
    shutil.copytree(finished_folder, tmp_path / "project", symlinks=True)
    # The stamp must stay younger than what it stands for, or make would install everything.
    (tmp_path / "project" / ".venv" / ".installed").touch()
    return Reader(tmp_path / "project")

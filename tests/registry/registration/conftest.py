"""A retriever, and a project with a store of its own to register it in: empty, or with a first version."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest
from registering import TWO, register_here
from registrable import build_retriever
from stores import move_store

from revela.registry.register import Registered

LOCK = """
schema: '2.0'
stages:
  filter_corpus:
    cmd: x
    outs:
    - path: data/documents
      hash: md5
      md5: abc.dir
"""


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_retriever(tmp_path_factory.mktemp("model"))


@pytest.fixture
def project(tmp_path: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder with an empty store of its own, as the working directory."""
    return enter(tmp_path, prepared, monkeypatch)


@pytest.fixture
def first(project: Path, first_project: tuple[Path, Registered]) -> Registered:
    """The project's store has the model as version 1, with 0.5 on docstrings, a dvc.lock and a report."""
    return settle_in(project, *first_project)


@pytest.fixture
def first_of_two(project: Path, first_project_of_two: tuple[Path, Registered]) -> Registered:
    """The same with 0.5 on classes, too."""
    return settle_in(project, *first_project_of_two)


@pytest.fixture(scope="session")
def first_project(
    tmp_path_factory: pytest.TempPathFactory, prepared: Path, model_dir: Path
) -> tuple[Path, Registered]:
    folder = tmp_path_factory.mktemp("first")
    lock, report = folder / "dvc.lock", folder / "ablation.md"
    lock.write_text(LOCK)
    report.write_text("# Ablation")
    return register_once(folder, prepared, model_dir, dvc_lock=lock, extra_reports=[report])


@pytest.fixture(scope="session")
def first_project_of_two(
    tmp_path_factory: pytest.TempPathFactory, prepared: Path, model_dir: Path
) -> tuple[Path, Registered]:
    folder = tmp_path_factory.mktemp("first_of_two")
    return register_once(folder, prepared, model_dir, guarded={"classes": 0.5}, params=TWO)


def register_once(folder: Path, prepared: Path, model_dir: Path, **arguments: Any) -> tuple[Path, Registered]:
    """Registering loads the model in a fresh process, which takes a quarter of a minute: to be copied."""
    with pytest.MonkeyPatch.context() as patch:
        enter(folder, prepared, patch)
        return folder, register_here(folder, model_dir, 0.5, **arguments)


def enter(folder: Path, prepared: Path, patch: pytest.MonkeyPatch) -> Path:
    """Make of an empty folder a project with an empty store, and the working directory."""
    (folder / "dvc.yaml").touch()
    shutil.copy(prepared, folder / "mlflow.db")
    # mlflow.set_tracking_uri writes the variable too, so setting it here is also what takes it back.
    patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
    patch.delenv("DVC_ROOT", raising=False)
    patch.chdir(folder)
    return folder


def settle_in(project: Path, made_in: Path, done: Registered) -> Registered:
    """Copy a store and its files into the project."""
    shutil.copytree(made_in, project, dirs_exist_ok=True)
    move_store(project / "mlflow.db", made_in, project)
    return dataclasses.replace(done, tracking_uri=f"sqlite:///{project / 'mlflow.db'}")

"""Fixtures: a project whose runs go to a store of its own, an SQLite file or a real tracking server."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from servers import Server, mlflow_server

from revela import tracking


@contextmanager
def store_below(folder: Path) -> Iterator[str]:
    """Runs go to an SQLite store in the folder, wherever the working directory is; its address."""
    with pytest.MonkeyPatch.context() as patch:
        uri = f"sqlite:///{folder}/mlflow.db"
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        yield uri


def move_store(database: Path, old: Path, new: Path) -> None:
    """Let a copied SQLite store name the copy's files: MLflow keeps whole addresses, in many tables."""
    with contextlib.closing(sqlite3.connect(database)) as store, store:
        tables = store.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            for _, column, kind, *_ in store.execute(f"PRAGMA table_info('{table}')").fetchall():
                if kind.startswith(("VARCHAR", "TEXT")):
                    store.execute(
                        f'UPDATE "{table}" SET "{column}" = replace("{column}", ?, ?) '
                        f'WHERE instr("{column}", ?)',
                        (str(old), str(new), str(old)),
                    )


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with its tables, to be copied: creating them takes a second or two."""
    folder = tmp_path_factory.mktemp("store")
    tracking.prepare_store(f"sqlite:///{folder / 'mlflow.db'}")
    return folder / "mlflow.db"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project as the working directory."""
    (tmp_path / "dvc.yaml").touch()
    for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT", "DVC_STAGE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def stored(project: Path, prepared: Path) -> Path:
    """A project whose store has its tables."""
    shutil.copy(prepared, project / "mlflow.db")
    return project


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, prepared: Path) -> Iterator[Server]:
    """A tracking server that tests may kill, and start again."""
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(prepared, folder / "mlflow.db")
    database, artifacts = f"sqlite:///{folder / 'mlflow.db'}", str(folder / "artifacts")
    server = mlflow_server(folder, database, "--artifacts-destination", artifacts)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def served(server: Server, project: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A project whose runs go to the server; its address."""
    uri = f"http://127.0.0.1:{server.port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return uri

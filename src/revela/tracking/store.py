"""Where runs and models are kept, and a client for that place."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from filelock import FileLock

from revela.errors import RevelaError

if TYPE_CHECKING:
    from mlflow import MlflowClient

_SQLITE = "sqlite:///"
_FIRST_USE = int.from_bytes(b"revela", "big")
"""Key of the PostgreSQL lock under which a database gets its tables; any number that nobody else uses."""


def project_root() -> Path:
    """The nearest folder, from the working directory upwards, with a dvc.yaml or a .dvc; else the cwd."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "dvc.yaml").is_file() or (folder / ".dvc").is_dir():
            return folder
    return here


def users_root() -> Path:
    """DVC_ROOT, else the project's root.

    DVC_ROOT comes first because a queued DVC experiment runs in a temporary copy that is thrown
    away, while DVC_ROOT still names the folder that its user looks into.
    """
    return Path(os.environ.get("DVC_ROOT") or project_root()).resolve()


def tracking_uri() -> str:
    """MLFLOW_TRACKING_URI, else an SQLite file in `users_root()`; absolute."""
    root = users_root()
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"{_SQLITE}{root / 'mlflow.db'}"
    path = sqlite_path(uri)
    return uri if path is None else f"{_SQLITE}{root / path}"


def sqlite_path(uri: str) -> Path | None:
    """The database file of a local store, None when `uri` is a server or another database."""
    return Path(uri.removeprefix(_SQLITE)) if uri.startswith(_SQLITE) else None


def artifact_root(uri: str) -> Path | None:
    """The folder `mlartifacts` beside a local store; None when a server decides where artifacts go."""
    path = sqlite_path(uri)
    return None if path is None else path.parent / "mlartifacts"


def without_password(uri: str) -> str:
    """The address for messages and files: who may read those need not know how to get in."""
    parts = urlsplit(uri)
    if parts.username is None and parts.password is None:
        return uri
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


@contextmanager
def store_lock(uri: str) -> Iterator[None]:
    """Hold what only one process at a time may do to a database that is used without a server.

    An SQLite store has a file lock beside it, PostgreSQL a lock of its own that ends with the connection. A
    server (http) created its tables when it started, so nothing is held for one. Not re-entrant.
    """
    path, folder = sqlite_path(uri), artifact_root(uri)
    if path is not None and folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f".{path.name}.store.lock"):
            yield
    elif uri.startswith(("postgresql:", "postgresql+")):
        with _postgresql_lock(uri):
            yield
    else:
        yield


@contextmanager
def _postgresql_lock(uri: str) -> Iterator[None]:
    from sqlalchemy import NullPool, create_engine, text

    # Without a pool the connection ends with the block, and with it the lock. Without a transaction
    # nothing of the database is held back meanwhile.
    engine = create_engine(uri, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _FIRST_USE})
        yield


def prepare_store(uri: str) -> None:
    """Create the tables of a database that has none yet. Safe to call from many processes.

    Raises:
        RevelaError: as `connect`.
    """
    connect(uri)


def connect(uri: str) -> MlflowClient:
    """A client whose store exists and has answered once.

    MLflow creates the tables of a fresh database at the first question; processes that ask together
    all try and crash. So that question is asked under a lock.

    Raises:
        RevelaError: the store cannot be reached or created, or its schema belongs to another MLflow.
    """
    from mlflow import MlflowClient

    try:
        with store_lock(uri), impatient():
            client = MlflowClient(tracking_uri=uri)
            client.search_experiments(max_results=1)
    except Exception as fault:  # mlflow wraps some causes and lets others (requests, sqlalchemy) through
        if sqlite_path(uri) is None:
            remedy = "Start that server, correct MLFLOW_TRACKING_URI, or unset it to log into ./mlflow.db."
            if isinstance(fault, ModuleNotFoundError):
                remedy = "Install the driver of that database; PostgreSQL's: pip install -e '.[team]'"
        else:
            remedy = (
                "Make its folder writable, or move a file that is no database away. "
                f"One of an older MLflow is brought up to date by `mlflow db upgrade {uri}`."
            )
        raise RevelaError(
            f"MLflow store {without_password(uri)} cannot be used: {first_line(fault)}\n{remedy}"
        ) from fault
    return client


@contextmanager
def impatient() -> Iterator[None]:
    """Give an unreachable server seconds instead of MLflow's minutes; explicit settings stay in force."""
    limits = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
    added = [name for name in limits if name not in os.environ]
    os.environ.update({name: limits[name] for name in added})
    try:
        yield
    finally:
        for name in added:  # popped: another thread may have been impatient, too
            os.environ.pop(name, None)


def first_line(fault: BaseException) -> str:
    return (str(fault).strip() or type(fault).__name__).splitlines()[0][:300]

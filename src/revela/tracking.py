"""Training and evaluation runs in MLflow: where they are kept, and a logger that training can lean on.

Metric points are collected and written a thousand at a time, because a call a point costs 25 ms. A
tracking server that goes away while a model trains costs points on a chart at worst, never the
training. mlflow is imported inside functions: it takes seconds, and most verbs never need it.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from filelock import FileLock

from revela.errors import RevelaError
from revela.provenance import MAX_KEY_CHARACTERS, dvc_tags, flatten, git_tags, safe_key

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)

MAX_METRICS_A_CALL = 1000
MAX_PARAMS_A_CALL = 100
_KEY = re.compile(r"[\w.\-/ :]+", re.ASCII)
_SQLITE = "sqlite:///"


# --- where ----------------------------------------------------------------------------------------


def project_root() -> Path:
    """The nearest folder, from the working directory upwards, with a dvc.yaml or a .dvc; else the cwd."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "dvc.yaml").is_file() or (folder / ".dvc").is_dir():
            return folder
    return here


def tracking_uri() -> str:
    """MLFLOW_TRACKING_URI, else an SQLite file in DVC_ROOT, else one in the project's root; absolute.

    DVC_ROOT comes first because a queued DVC experiment runs in a temporary copy that is thrown
    away, while DVC_ROOT still names the folder that its user looks into.
    """
    root = Path(os.environ.get("DVC_ROOT") or project_root()).resolve()
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


@contextmanager
def store_lock(uri: str, purpose: str = "store") -> Iterator[None]:
    """Hold a local store's file lock; a server does its own locking, so nothing is held for one.

    Not re-entrant. Locks of different `purpose` are independent of each other.
    """
    path, folder = sqlite_path(uri), artifact_root(uri)
    if path is None or folder is None:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f".{path.name}.{purpose}.lock"):
        yield


def prepare_store(uri: str) -> None:
    """Create the tables of a local SQLite store that has none yet. Safe to call from many processes.

    Raises:
        RevelaError: as `connect`.
    """
    connect(uri)


def connect(uri: str) -> MlflowClient:
    """A client whose store exists and has answered once.

    MLflow creates the tables of a fresh SQLite file at the first question; processes that ask
    together all try and all crash. So that question is asked under a file lock.

    Raises:
        RevelaError: the store cannot be reached or created, or its schema belongs to another MLflow.
    """
    from mlflow import MlflowClient

    try:
        with store_lock(uri), _impatient():
            client = MlflowClient(tracking_uri=uri)
            client.search_experiments(max_results=1)
    except Exception as fault:  # mlflow wraps some causes and lets others (requests, sqlalchemy) through
        if sqlite_path(uri) is None:
            remedy = "Start that server, correct MLFLOW_TRACKING_URI, or unset it to log into ./mlflow.db."
        else:
            remedy = (
                "Make its folder writable, or move a file that is no database away. "
                f"One of an older MLflow is brought up to date by `mlflow db upgrade {uri}`."
            )
        raise RevelaError(f"MLflow store {uri} cannot be used: {_first_line(fault)}\n{remedy}") from fault
    return client


@contextmanager
def _impatient() -> Iterator[None]:
    """Give an unreachable server seconds instead of MLflow's minutes; explicit settings stay in force."""
    limits = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
    added = [name for name in limits if name not in os.environ]
    os.environ.update({name: limits[name] for name in added})
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


def _first_line(fault: BaseException) -> str:
    return (str(fault).strip() or type(fault).__name__).splitlines()[0][:300]


# --- logging --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Point:
    """One value of one metric, stamped when it was measured, so that writing it twice changes nothing."""

    key: str
    value: float
    step: int
    timestamp_ms: int


class MetricBuffer:
    """Collects points and hands them to `write` in batches; keeps them when `write` fails.

    A failure is reported once as a warning. The next attempt waits `every_seconds`, or as much longer as
    it takes to keep the time lost to a server that hangs below a twentieth of the training's.

    Args:
        write: takes at most 1000 points; raises when it could not keep them.
        every_points: points that trigger a write.
        every_seconds: age of the last attempt that triggers one.
        clock: seconds that never run backwards.
    """

    def __init__(
        self,
        write: Callable[[list[Point]], None],
        *,
        every_points: int = 500,
        every_seconds: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write = write
        self._every_points = every_points
        self._every_seconds = every_seconds
        self._clock = clock
        self._points: list[Point] = []
        self._last_attempt = clock()
        self._pause = every_seconds
        self._failing = False

    def __len__(self) -> int:
        return len(self._points)

    def add(self, key: str, value: float, step: int) -> None:
        """Keep one point, and write when it is time to.

        Raises:
            ValueError: MLflow would refuse `key`; found here, not at a flush much later.
        """
        if not _KEY.fullmatch(key) or len(key) > MAX_KEY_CHARACTERS:
            raise ValueError(
                f"metric key {key!r}: MLflow takes 1 to {MAX_KEY_CHARACTERS} letters, digits, blanks, _-./:"
            )
        self._points.append(Point(key, float(value), int(step), int(time.time() * 1000)))
        due = self._clock() - self._last_attempt >= self._pause
        if due or (len(self._points) >= self._every_points and not self._failing):
            self.flush()

    def flush(self) -> bool:
        """Write what is kept. Returns whether nothing is left."""
        started = self._clock()
        try:
            while self._points:
                self._write(self._points[:MAX_METRICS_A_CALL])
                del self._points[:MAX_METRICS_A_CALL]
        except Exception as fault:  # whatever the store does, training goes on
            if not self._failing:
                logger.warning(
                    "MLflow takes no metrics, they are kept and tried again: %s", _first_line(fault)
                )
            self._failing = True
            self._last_attempt = self._clock()
            self._pause = max(self._every_seconds, 20 * (self._last_attempt - started))
            return False
        if self._failing:
            logger.warning("MLflow takes metrics again; nothing was lost")
        self._failing = False
        self._last_attempt = self._clock()
        self._pause = self._every_seconds
        return True


class RunLogger:
    """One MLflow run being written. A context manager: flushes, and marks the run by how the block ended."""

    def __init__(self, client: MlflowClient, *, run_id: str, uri: str, **buffer: Any) -> None:
        self.run_id = run_id
        self.uri = uri
        self._client = client
        self._buffer = MetricBuffer(self._send, **buffer)

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Keep the values of one step, to be written soon. Raises ValueError on a key MLflow refuses."""
        for key, value in metrics.items():
            self._buffer.add(key, value, step)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Write tags now; a store that does not answer costs a warning, not the training."""
        try:
            with _impatient():
                _log_texts(self._client, self.run_id, tags=tags)
        except Exception as fault:
            logger.warning("MLflow does not take the tags %s: %s", ", ".join(tags), _first_line(fault))

    def flush(self) -> bool:
        """Write what is kept. Returns whether nothing is left."""
        return self._buffer.flush()

    def close(self, status: Literal["FINISHED", "FAILED", "KILLED"] = "FINISHED") -> None:
        """Flush and set the run's final status; what cannot be written any more is warned about."""
        if not self.flush():
            left = len(self._buffer)
            logger.warning(
                "run %s: %d points could not be written to %s and are lost", self.run_id, left, self.uri
            )
        try:
            with _impatient():
                self._client.set_terminated(self.run_id, status)
        except Exception as fault:
            logger.warning("run %s could not be marked as %s: %s", self.run_id, status, _first_line(fault))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close("FINISHED")
        else:
            self.close("FAILED" if issubclass(kind, Exception) else "KILLED")

    def _send(self, points: list[Point]) -> None:
        from mlflow.entities import Metric

        metrics = [Metric(point.key, point.value, point.timestamp_ms, point.step) for point in points]
        with _impatient():
            self._client.log_batch(self.run_id, metrics=metrics)


def start_run(
    experiment: str,
    run_name: str,
    tags: Mapping[str, str],
    params: Mapping[str, Any],
    *,
    run_id: str | None = None,
    uri: str | None = None,
    **buffer: Any,
) -> RunLogger:
    """Open a run, with the git commit and the DVC hashes of what it reads as tags.

    Args:
        params: nested settings; flattened to ``training.phases.0.steps``.
        run_id: a run to go on with; a new one is opened when the store does not have it. Parameters
            that the run has keep their first value, for MLflow never changes one.
        uri: the store; by default `tracking_uri()`.
        buffer: `every_points` and `every_seconds` of the `MetricBuffer`.

    Raises:
        RevelaError: the store cannot be reached, or the experiment was deleted in it.
    """
    uri = uri or tracking_uri()
    client = connect(uri)
    root = project_root()
    all_tags = git_tags(root) | dvc_tags(root / "dvc.lock", os.environ.get("DVC_STAGE")) | dict(tags)
    known = {} if run_id is None else _known_params(client, run_id)
    if run_id is None or known is None:
        run = client.create_run(experiment_id(client, uri, experiment), run_name=run_name)
        run_id, known = run.info.run_id, {}
    else:
        client.update_run(run_id, status="RUNNING")
    flat = flatten(params)
    changed = sorted(key for key in known if key in flat and known[key] != flat[key])
    if changed:
        names = ", ".join(changed)
        logger.warning("run %s goes on with other values of %s; MLflow keeps the first ones", run_id, names)
    fresh = {key: value for key, value in flat.items() if key not in known}
    _log_texts(client, run_id, params=fresh, tags=all_tags)
    return RunLogger(client, run_id=run_id, uri=uri, **buffer)


def experiment_id(client: MlflowClient, uri: str, name: str) -> str:
    """The experiment's id; it is created, with its artifacts beside a local store, when it is new.

    Raises:
        RevelaError: an experiment of that name was deleted and not restored.
    """
    with store_lock(uri):
        found = client.get_experiment_by_name(name)
        if found is None:
            root = artifact_root(uri)
            location = None if root is None else (root / safe_key(name).replace("/", "_")).as_uri()
            return client.create_experiment(name, artifact_location=location)
    if found.lifecycle_stage != "active":
        raise RevelaError(
            f"MLflow experiment '{name}' was deleted in {uri}. Restore it "
            f"(`mlflow experiments restore -x {found.experiment_id}`) or change registry.experiment."
        )
    return found.experiment_id


def _known_params(client: MlflowClient, run_id: str) -> dict[str, str] | None:
    """The parameters of an existing run; None when there is no such run."""
    from mlflow.exceptions import MlflowException

    try:
        run = client.get_run(run_id)
    except MlflowException as fault:
        if fault.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise
    return run.data.params if run.info.lifecycle_stage == "active" else None


def _log_texts(
    client: MlflowClient,
    run_id: str,
    *,
    params: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
) -> None:
    from mlflow.entities import Param, RunTag

    entries = [Param(*item) for item in (params or {}).items()]
    labels = [RunTag(key, str(value)) for key, value in (tags or {}).items()]
    for start in range(0, max(len(entries), len(labels)), MAX_PARAMS_A_CALL):
        end = start + MAX_PARAMS_A_CALL
        client.log_batch(run_id, params=entries[start:end], tags=labels[start:end])

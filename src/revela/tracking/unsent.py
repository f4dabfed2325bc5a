"""What a store did not take: kept in a file of the project, and sent when the store is back.

``cache/mlflow-unsent/<run>-<opening>.jsonl`` holds what one opening of one run has left to say. The first
line says which run and store, and has tags and final status; every other line is a point, ``[key, value,
step, timestamp]``. MLflow drops a point that it has with the same stamp, so sending twice changes nothing.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from revela import paths
from revela.errors import RevelaError
from revela.files import atomic_write_text
from revela.tracking.buffer import MAX_METRICS_A_CALL, Point
from revela.tracking.entries import log_points, log_texts
from revela.tracking.store import first_line, impatient, users_root, without_password

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)

OPENING = "revela.opening"
"""Tag of a run: which opening of it was the last."""

_KEPT, _CLAIMED, _REFUSED = ".jsonl", ".sending", ".refused"
_NEVER = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "INVALID_STATE")
"""Answers of a store that will be the same tomorrow: the run is gone, or what it gets is not valid."""


@dataclass(frozen=True)
class Unsent:
    """What is left of one opening of a run.

    Args:
        store: its address, without password.
        opening: the run's tag `OPENING` since then.
        status: the final one, None while the run goes on.
        ended_ms: when it ended, in milliseconds since 1970.
    """

    store: str
    run_id: str
    opening: str
    points: Sequence[Point] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    status: str | None = None
    ended_ms: int | None = None


@dataclass
class Sent:
    """What `send_unsent` did."""

    runs: int = 0
    points: int = 0
    kept: list[str] = field(default_factory=list)
    """Files that could not be sent, each with the reason."""
    elsewhere: list[str] = field(default_factory=list)
    """Files for other stores, each with the store's address."""


def unsent_folder() -> Path:
    return users_root() / paths.CACHE / "mlflow-unsent"


def keep(folder: Path, unsent: Unsent) -> Path:
    """Write the file of an opening anew, whole or not at all.

    Raises:
        RevelaError, OSError: it cannot be written.
    """
    head = {key: value for key, value in vars(unsent).items() if key != "points"}
    lines = [head, *([point.key, point.value, point.step, point.timestamp_ms] for point in unsent.points)]
    path = folder / f"{unsent.run_id}-{unsent.opening}{_KEPT}"
    atomic_write_text(path, "".join(f"{json.dumps(line)}\n" for line in lines))
    return path


def discard(folder: Path, run_id: str, opening: str) -> None:
    """Remove the file of an opening whose store took everything after all."""
    (folder / f"{run_id}-{opening}{_KEPT}").unlink(missing_ok=True)


def read(path: Path) -> Unsent:
    """
    Raises:
        RevelaError: the file is damaged.
    """
    try:
        head, *lines = path.read_text(encoding="utf-8").splitlines()
        return Unsent(**json.loads(head), points=[Point(*json.loads(line)) for line in lines])
    except (ValueError, TypeError) as fault:
        raise RevelaError(
            f"{path}: damaged ({fault}). Delete it; results/train/curve.csv has a training's figures, too."
        ) from fault


def send_unsent(client: MlflowClient, uri: str, *, refused: bool = False) -> Sent:
    """Send what earlier runs could not write to this store; files for other stores are left alone.

    A file is taken by renaming it first: its run may be going on and write a newer one meanwhile. Two
    processes do not send at the same time. Never raises for a store: what is not taken stays.

    Args:
        refused: also try what the store refused before, say a run that was deleted and restored since.
    """
    done, folder, store = Sent(), unsent_folder(), without_password(uri)
    if not folder.is_dir():
        return done
    with FileLock(folder / ".lock"):
        suffixes = (_CLAIMED, _KEPT, _REFUSED) if refused else (_CLAIMED, _KEPT)
        for path in sorted(path for path in folder.iterdir() if path.suffix in suffixes):
            try:
                unsent = read(path)
            except FileNotFoundError:  # its run is going on, and the store took it after all
                continue
            except RevelaError as fault:
                logger.warning("%s", fault)
                done.kept.append(str(fault))
                continue
            if unsent.store != store:
                done.elsewhere.append(f"{path}: for {unsent.store}")
                continue
            if not _send_file(client, path, unsent, done):
                break
    return done


def _send_file(client: MlflowClient, path: Path, unsent: Unsent, done: Sent) -> bool:
    """Returns whether it makes sense to go on with other files."""
    from mlflow.exceptions import MlflowException

    claimed = path.with_suffix(_CLAIMED)
    if path != claimed:
        try:
            path.rename(claimed)
        except FileNotFoundError:
            return True
        unsent = read(claimed)
    try:
        with impatient():
            _send(client, unsent)
    except Exception as fault:  # a run that is being opened must not fail for an older one
        never = isinstance(fault, MlflowException) and fault.error_code in _NEVER
        left = claimed.rename(path.with_suffix(_REFUSED)) if never else claimed
        what = "refuses" if never else "does not take yet"
        logger.warning("MLflow %s what run %s had left, %s: %s", what, unsent.run_id, left, first_line(fault))
        done.kept.append(f"{left}: {first_line(fault)}")
        return never
    claimed.unlink()
    logger.info("sent what run %s had left: %d points", unsent.run_id, len(unsent.points))
    done.runs += 1
    done.points += len(unsent.points)
    return True


def _send(client: MlflowClient, unsent: Unsent) -> None:
    for start in range(0, len(unsent.points), MAX_METRICS_A_CALL):
        log_points(client, unsent.run_id, unsent.points[start : start + MAX_METRICS_A_CALL])
    # The run may have been gone on with since: then what it says of itself is newer.
    known = client.get_run(unsent.run_id).data.tags
    is_last = known.get(OPENING) == unsent.opening
    tags = {key: value for key, value in unsent.tags.items() if is_last or key not in known}
    log_texts(client, unsent.run_id, tags=tags)
    if is_last and unsent.status is not None:
        client.set_terminated(unsent.run_id, unsent.status, unsent.ended_ms)

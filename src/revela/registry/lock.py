"""One process at a time decides which version is champion, on every store that MLflow can talk to.

MLflow has no locks. What it has, in a file as on a server, is a registry in which a write is visible to
everyone as soon as it returns. So each contender raises a flag, a registered model with a name of its own,
and then looks: if another's flag is up, it takes its own down and tries again a little later. Of two that
raise theirs at once, at least the one that is second sees the other, so never do both go on.

A flag's name is never used twice, because MLflow deletes by name and asks nothing: with one common
name, two that take over from the same dead process could take down each other's new flag.

Who holds the lock changes a tag of its flag every few seconds. Who waits and sees no change for a minute of
its own clock takes the flag down; the clocks of two machines are never compared.
"""

from __future__ import annotations

import contextlib
import getpass
import logging
import os
import random
import secrets
import socket
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from revela.errors import RevelaError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import RegisteredModel

logger = logging.getLogger(__name__)

BEAT_S = 10.0
"""A holder says this often that it lives."""
SILENT_S = 60.0
"""One that says nothing for so long is taken for dead: six beats, of which a busy server may lose some."""
POLL_S = 0.5
"""Of the same order as what a promotion takes."""

_MEANING = (
    "Not a model: held while `revela register`, `promote` or `rollback` decides which version of {name} is "
    "champion, and removed right after. One that stays may be deleted when none of them is running."
)


class Held:
    """The lock as its holder has it."""

    def __init__(self, client: MlflowClient, flag: str) -> None:
        self._client = client
        self._flag = flag

    def confirm(self) -> None:
        """Call right before the writes that the lock is for.

        Raises:
            RevelaError: this process was silent for so long (suspended, cut off) that another took over.
        """
        if not any(model.name == self._flag for model in _flags(self._client, self._flag)):
            raise RevelaError(
                f"This process gave no sign of life for {SILENT_S:.0f} s, and another one took over the "
                "right to decide on the champion. Nothing was decided; run the command again."
            )


@contextmanager
def promotion_lock(client: MlflowClient, name: str) -> Iterator[Held]:
    """Hold the right to decide on the aliases of the registered model `name`. Not re-entrant.

    Waits for as long as another process holds it and lives.
    """
    flag = _acquire(client, name)
    ended = threading.Event()
    # A daemon, and not waited for: it may hang in a call to a server that went away.
    threading.Thread(target=_beat, args=(client, flag, ended), daemon=True).start()
    try:
        yield Held(client, flag)
    finally:
        ended.set()
        _lower(client, flag)


def _acquire(client: MlflowClient, name: str) -> str:
    """Returns the flag that is up."""
    watch, told = _Watch(client, f"{name}.lock-"), False
    while True:
        holder = watch.living()
        if holder is None:
            flag = f"{name}.lock-{secrets.token_hex(8)}"
            try:
                _raise(client, name, flag)
                holder = watch.living(besides=flag)
            except BaseException:
                _lower(client, flag)
                raise
            if holder is None:
                return flag
            _lower(client, flag)
        elif not told:
            logger.warning("waiting for %s, which decides on the champion of %s", holder, name)
            told = True
        # By chance, so that two that met do not meet again and again.
        time.sleep(POLL_S * random.uniform(0.2, 1.0))


class _Watch:
    """Other processes' flags, as one that waits sees them."""

    def __init__(self, client: MlflowClient, prefix: str) -> None:
        self._client = client
        self._prefix = prefix
        self._seen: dict[str, tuple[str, float]] = {}  # flag: its last beat, and when that was new

    def living(self, besides: str | None = None) -> str | None:
        """Who holds a flag, in words, or None. Flags of the dead are taken down."""
        for model in _flags(self._client, self._prefix):
            if model.name == besides:
                continue
            beat, now = model.tags.get("beat", ""), time.monotonic()
            if model.name not in self._seen or self._seen[model.name][0] != beat:
                self._seen[model.name] = beat, now
            silent_s = now - self._seen[model.name][1]
            if _gone(model.tags) or silent_s > SILENT_S:
                logger.warning("%s ended without giving the lock back; taking over", _words(model.tags))
                _lower(self._client, model.name)
                continue
            return _words(model.tags)
        return None


def _flags(client: MlflowClient, prefix: str) -> list[RegisteredModel]:
    # A `_` in the pattern stands for any character, so names are looked at once more.
    found = client.search_registered_models(f"name LIKE '{prefix}%'", max_results=100)
    return [model for model in found if model.name.startswith(prefix)]


def _raise(client: MlflowClient, name: str, flag: str) -> None:
    from mlflow.exceptions import MlflowException

    holder = f"{_user()} on {socket.gethostname()}, process {os.getpid()}"
    tags = {
        "holder": holder,
        "since": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
        "machine": _machine(),
        "pid": str(os.getpid()),
        "beat": "0",
    }
    try:
        client.create_registered_model(flag, tags, _MEANING.format(name=name))
    except MlflowException as fault:
        # The name is this call's own: the answer to a first try was lost, and MLflow tried again.
        if fault.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _lower(client: MlflowClient, flag: str) -> None:
    try:
        client.delete_registered_model(flag)
    except Exception as fault:
        if getattr(fault, "error_code", "") != "RESOURCE_DOES_NOT_EXIST":
            logger.warning(
                "the lock %s could not be given back: %s\nOthers wait a minute for it, then take over.",
                flag,
                fault,
            )


def _beat(client: MlflowClient, flag: str, ended: threading.Event) -> None:
    count = 0
    while not ended.wait(BEAT_S):
        count += 1
        # Whatever it is: the next beat tries again, and `confirm` finds out whether the flag is still up.
        with contextlib.suppress(Exception):
            client.set_registered_model_tag(flag, "beat", str(count))


def _words(tags: Mapping[str, str]) -> str:
    return f"{tags.get('holder', 'another process')} (since {tags.get('since', 'some time')})"


def _gone(tags: Mapping[str, str]) -> bool:
    """Whether the holder is a process of this machine that ended."""
    if tags.get("machine") != _machine() or not tags.get("pid", "").isdigit():
        return False
    try:
        os.kill(int(tags["pid"]), 0)
    except ProcessLookupError:
        return True
    except OSError:  # another user's
        return False
    return False


def _machine() -> str:
    """What process numbers are counted in: a machine since it started, and on Linux a container in it."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{socket.gethostname()} {boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return f"{socket.gethostname()} {uuid.getnode()}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        return "someone"

"""One at a time decides on the champion: in a file, on a server, and after a holder died."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import pytest
from mlflow import MlflowClient

from revela import tracking
from revela.errors import RevelaError
from revela.registry import lock

NAME = "revela-retriever"


@pytest.fixture
def client(stored: Path) -> MlflowClient:
    return tracking.connect(tracking.tracking_uri())


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for key, seconds in (("BEAT_S", 0.2), ("SILENT_S", 2.0), ("POLL_S", 0.05)):
        monkeypatch.setattr(lock, key, seconds)


def flags(client: MlflowClient) -> list[str]:
    return [model.name for model in client.search_registered_models()]


RACE = """
import sys, time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from revela import tracking
from revela.registry import aliases
from revela.settings import RegistrySettings

me, other, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
by_alias, lock = aliases.by_alias, aliases.promotion_lock

def wait_for_other(name, seconds):
    until = time.monotonic() + seconds
    while not (folder / f"{name}-{other}").exists() and time.monotonic() < until:
        time.sleep(0.02)

def meet(name, seconds):
    (folder / f"{name}-{me}").touch()
    wait_for_other(name, seconds)

def read_then_wait(*arguments):
    found = by_alias(*arguments)
    if phase == "without":
        meet("both read", 60)  # before one writes
        if me == "3":  # and then one after the other: a database may refuse two at the same moment
            wait_for_other("without end", 60)
    else:
        meet("with read", 4)  # time enough for the other one to read, too, if nothing kept it from it
    return found

aliases.by_alias = read_then_wait
for phase in ("without", "with"):
    aliases.promotion_lock = lock
    if phase == "without":
        aliases.promotion_lock = lambda *_: nullcontext(SimpleNamespace(confirm=lambda: None))
    meet(f"{phase} start", 120)
    aliases.promote(RegistrySettings(), me, phase)
    meet(f"{phase} end", 120)
    if me == "2":  # back to the first for the next phase, and what came out of this one
        client = tracking.connect(tracking.tracking_uri())
        came = [client.get_model_version_by_alias("revela-retriever", alias).version
                for alias in ("champion", "previous")]
        print(phase, *sorted(map(str, came)), flush=True)
        client.set_registered_model_alias("revela-retriever", "champion", "1")
    meet(f"{phase} looked", 120)
"""


def test_two_promotions_at_once_on_a_server_cannot_both_win(served: str, project: Path) -> None:
    client = MlflowClient(served)
    client.create_registered_model(NAME)
    for number in range(3):
        client.create_model_version(NAME, source=f"s3://nowhere/{number}")
    client.set_registered_model_alias(NAME, "champion", "1")
    started = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, me, other, str(project)], stdout=subprocess.PIPE, text=True
        )
        for me, other in (("2", "3"), ("3", "2"))
    ]
    printed = "".join(process.communicate(timeout=200)[0] for process in started)
    assert [process.returncode for process in started] == [0, 0]
    without, with_lock = printed.splitlines()
    assert without == "without 1 3", "without the lock both replace version 1, and one of them is lost"
    assert with_lock == "with 2 3", "with it the second replaces the first"
    assert flags(client) == [NAME], "no lock is left among the user's models"


def test_the_lock_is_given_back_whatever_happens(client: MlflowClient) -> None:
    with pytest.raises(ZeroDivisionError), lock.promotion_lock(client, NAME) as held:
        (flag,) = flags(client)
        assert flag.startswith(f"{NAME}.lock-")
        assert "Not a model" in client.get_registered_model(flag).description
        held.confirm()
        raise ZeroDivisionError
    assert flags(client) == []


def test_a_killed_process_of_this_machine_is_taken_over_from_at_once(client: MlflowClient) -> None:
    program = (
        "import os, signal; from revela import tracking; uri = tracking.tracking_uri()\n"
        "from revela.registry.lock import promotion_lock\n"
        f"with promotion_lock(tracking.connect(uri), '{NAME}'): os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL
    assert len(flags(client)) == 1
    started = time.monotonic()
    with lock.promotion_lock(client, NAME):
        assert len(flags(client)) == 1
    assert time.monotonic() - started < 10
    assert flags(client) == []


def test_a_holder_elsewhere_is_waited_for_while_it_gives_signs_of_life(
    client: MlflowClient, quick: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    order = []

    def second() -> None:
        with lock.promotion_lock(client, NAME):
            order.append("second")

    with caplog.at_level(logging.WARNING, "revela.registry"):
        with lock.promotion_lock(client, NAME):
            waiting = threading.Thread(target=second)
            waiting.start()
            time.sleep(5)  # more than twice what is taken for death
            order.append("first")
        waiting.join(60)
    assert order == ["first", "second"]
    assert f"process {os.getpid()} (since " in caplog.text
    assert caplog.text.count("waiting for") == 1


def test_a_silent_holder_elsewhere_loses_the_lock_and_is_told(
    client: MlflowClient, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "_beat", lambda *_: None)
    with lock.promotion_lock(client, NAME) as suspended:
        started = time.monotonic()
        with lock.promotion_lock(client, NAME) as held:
            assert time.monotonic() - started > 2
            held.confirm()
            with pytest.raises(RevelaError, match="another one took over"):
                suspended.confirm()
    assert flags(client) == []


@pytest.mark.parametrize("locked", [True, False], ids=["with the lock", "without"])
def test_many_that_take_over_from_the_same_dead_process_do_so_one_by_one(
    client: MlflowClient, quick: None, locked: bool
) -> None:
    lock._raise(client, NAME, f"{NAME}.lock-dead")
    client.set_registered_model_tag(f"{NAME}.lock-dead", "pid", str(2**22 + 1))  # more than Linux counts to
    inside, most = [], []

    def decide(number: int) -> None:
        with lock.promotion_lock(client, NAME) if locked else nullcontext():
            inside.append(number)
            most.append(len(inside))
            time.sleep(0.1)
            inside.remove(number)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(decide, range(8)))
    assert (max(most) == 1) is locked
    assert flags(client) == ([] if locked else [f"{NAME}.lock-dead"])

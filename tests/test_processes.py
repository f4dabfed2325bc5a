"""Work in several processes: in order, and none is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from revela.errors import RevelaError
from revela.processes import in_order


def doubled(state: int, task: int) -> int:
    if task == 13:
        raise ValueError("unlucky")
    if task < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return state * task


def in_which_process(first: int, task: int) -> bool:
    return os.getpid() == first


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_order_of_tasks(workers: int) -> None:
    assert list(in_order(doubled, range(12), workers, int, (2,), "batches.workers")) == [
        2 * task for task in range(12)
    ]


def test_one_worker_is_this_process_and_two_are_not() -> None:
    assert [*in_order(in_which_process, [0], 1, int, (os.getpid(),), "k")] == [True]
    assert [*in_order(in_which_process, [0, 0], 2, int, (os.getpid(),), "k")] == [False, False]


def test_a_single_task_starts_no_process() -> None:
    assert [*in_order(in_which_process, [0], 8, int, (os.getpid(),), "k")] == [True]
    assert [*in_order(doubled, [], 8, int, (2,), "k")] == []


def test_only_a_few_tasks_are_drawn_ahead_of_the_results() -> None:
    drawn = 0

    def tasks() -> Iterator[int]:
        nonlocal drawn
        for number in range(14, 54):
            drawn += 1
            yield number

    ahead = [drawn - done for done, _ in enumerate(in_order(doubled, tasks(), 2, int, (2,), "k"))]
    assert 2 < max(ahead) <= 5


def test_an_error_names_its_task() -> None:
    with pytest.raises(ValueError, match="unlucky") as caught:
        list(in_order(doubled, range(10, 40), 2, int, (2,), "batches.workers"))
    assert caught.value.__notes__ == ["in another process, at 13"]


def test_a_killed_process_is_an_error_and_not_a_hang() -> None:
    with pytest.raises(RevelaError, match=r"was killed.*fewer batches\.workers"):
        list(in_order(doubled, [1, -1, 2, 3], 2, int, (2,), "batches.workers"))


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "kill"])
def test_no_process_outlives_the_first(tmp_path: Path, how: signal.Signals) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent("""
        import os, signal, sys, time
        from pathlib import Path
        from revela.processes import in_order

        def slow(folder, task):
            (Path(folder) / f"{os.getpid()}.pid").touch()
            time.sleep(60)

        if __name__ == "__main__":
            # A shell without a terminal starts what runs in the background with Ctrl-C ignored.
            signal.signal(signal.SIGINT, signal.default_int_handler)
            list(in_order(slow, range(2), 2, str, (sys.argv[1],), "k"))
        """)
    )
    process = subprocess.Popen(
        [sys.executable, program, tmp_path], stderr=subprocess.PIPE, start_new_session=True
    )
    try:
        pids = _wait_for(lambda: found if len(found := list(tmp_path.glob("*.pid"))) == 2 else None)
        # Ctrl-C reaches all processes of a terminal, a kill only the one that is named.
        if how == signal.SIGINT:
            os.killpg(process.pid, how)
        else:
            process.kill()
        process.communicate(timeout=60)
        _wait_for(lambda: not any(Path(f"/proc/{path.stem}").exists() for path in pids))
    finally:
        process.kill()


def _wait_for(condition: Callable[[], object], seconds: float = 60.0) -> object:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError("waited in vain")

"""Commands of flows: their output is told, and nothing outlives whoever started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from flows._commands import CommandFailedError, run

SPAWNS = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("pids", child.pid, flush=True)
time.sleep(600)
"""


def gone(pid: int) -> bool:
    for _ in range(200):
        try:
            with open(f"/proc/{pid}/stat") as file:
                if file.read().split()[2] == "Z":
                    return True
        except FileNotFoundError:
            return True
        time.sleep(0.05)
    return False


def test_every_line_is_told_and_the_last_ones_returned():
    told: list[str] = []
    code = "import sys; [print(n) for n in range(60)]; print('to stderr', file=sys.stderr)"
    tail = run([sys.executable, "-c", code], told.append)
    assert told == [*map(str, range(60)), "to stderr"]
    assert tail == told[-40:]


def test_a_failure_has_the_end_of_the_output_and_knows_what_may_pass():
    with pytest.raises(CommandFailedError, match="ended with code 3:\nno such thing") as caught:
        run([sys.executable, "-c", "print('no such thing'); raise SystemExit(3)"], lambda line: None)
    assert not caught.value.transient
    with pytest.raises(CommandFailedError) as caught:
        run([sys.executable, "-c", "raise SystemExit('requests.ConnectionError: x')"], lambda line: None)
    assert caught.value.transient


def test_a_timeout_ends_the_whole_tree():
    told: list[str] = []
    with pytest.raises(TimeoutError, match="longer than 2 s"):
        run([sys.executable, "-c", SPAWNS], told.append, timeout_s=2)
    assert gone(int(told[0].split()[1]))


def test_a_killed_starter_takes_the_whole_tree_with_it(tmp_path):
    log = tmp_path / "log"
    code = (
        "import sys; from flows._commands import run; log = open(sys.argv[1], 'w', buffering=1); "
        "run([sys.executable, '-c', sys.argv[2]], lambda line: log.write(line + chr(10)))"
    )
    starter = subprocess.Popen([sys.executable, "-c", code, str(log), SPAWNS])
    for _ in range(200):
        if log.is_file() and "pids" in log.read_text():
            break
        time.sleep(0.05)
    os.kill(starter.pid, signal.SIGKILL)
    starter.wait()
    assert gone(int(log.read_text().split()[1]))

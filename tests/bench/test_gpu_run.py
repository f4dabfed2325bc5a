"""A run on a GPU that may end at any moment: what is done stays done, what fails stays alone."""

from __future__ import annotations

import os
import signal
import time

import pytest

from bench.gpu.plan import Step
from bench.gpu.run import work_through
from bench.gpu.store import RESULTS, Store, read_lines
from tests.bench.gpu_job import ABOUT, make_job, statuses, step


def test_a_failing_step_leaves_a_row_with_its_traceback_and_the_next_one_runs(tmp_path):
    def fail(job):
        raise ZeroDivisionError("no groups")

    work_through([step("bad", fail), step("good")], make_job(tmp_path, tmp_path))
    assert statuses(tmp_path) == [("bad", "failed"), ("good", "done")]
    (row,) = [row for row in read_lines(tmp_path / RESULTS) if row.get("status") == "failed"]
    assert row["error"] == "ZeroDivisionError: no groups" and "in fail" in row["traceback"]
    assert {key: row[key] for key in ABOUT} == ABOUT


def test_a_second_run_does_what_is_not_done(tmp_path):
    taken = []

    def work(name, fault=None):
        def run(job):
            taken.append(name)
            if fault and taken.count(name) == 1:
                raise fault

        return step(name, run)

    steps = [work("a"), work("b", RuntimeError("once")), work("c")]
    work_through(steps, make_job(tmp_path, tmp_path))
    work_through(steps, make_job(tmp_path, tmp_path))
    assert taken == ["a", "b", "c", "b"]
    assert dict(statuses(tmp_path)) == {"a": "done", "b": "done", "c": "done"}


def test_a_step_that_the_time_does_not_allow_is_left_out_with_a_row_and_a_shorter_one_runs(tmp_path):
    job = make_job(tmp_path, tmp_path, minutes=1, tiny=False)
    work_through([step("long", seconds=90), step("short", seconds=10)], job)
    assert statuses(tmp_path) == [("long", "left out"), ("short", "done")]
    (row,) = [row for row in read_lines(tmp_path / RESULTS) if row["status"] == "left out"]
    assert row["expected_s"] == 90 and 50 < row["left_s"] <= 60


def test_what_needs_a_step_that_failed_is_left_out_and_says_why(tmp_path):
    def fail(job):
        raise OSError("no disk")

    needing = Step("adapt", lambda job: None, 0.0, needs=("calibrate bare",))
    work_through([step("calibrate bare", fail), needing], make_job(tmp_path, tmp_path))
    assert statuses(tmp_path) == [("calibrate bare", "failed"), ("adapt", "left out")]
    assert read_lines(tmp_path / RESULTS)[-1]["reason"] == "'calibrate bare' is not done"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_step_in_progress_and_nothing_else_begins(tmp_path, number):
    def interrupted(job):
        job.store.add(step="a", kind="parity", case="first")
        os.kill(os.getpid(), number)
        time.sleep(10)

    before = signal.getsignal(number)
    work_through([step("a", interrupted), step("b")], make_job(tmp_path, tmp_path))
    assert statuses(tmp_path) == [("a", "stopped"), ("b", "left out")]
    assert [row["case"] for row in read_lines(tmp_path / RESULTS) if row["kind"] == "parity"] == ["first"]
    assert signal.getsignal(number) is before


def test_a_step_that_takes_longer_than_expected_ends_with_the_time(tmp_path):
    began = time.monotonic()
    job = make_job(tmp_path, tmp_path, minutes=0.5 / 60)
    work_through([step("endless", lambda job: time.sleep(20)), step("b")], job)
    assert time.monotonic() - began < 10
    assert statuses(tmp_path) == [("endless", "stopped"), ("b", "left out")]


def test_a_line_that_a_kill_cut_short_costs_that_line_alone(tmp_path):
    Store(tmp_path, ABOUT).add(step="a", kind="step", status="done")
    with (tmp_path / RESULTS).open("a") as file:
        file.write('{"step": "b", "kind": "st')
    store = Store(tmp_path, ABOUT)
    store.add(step="c", kind="step", status="done")
    assert [row["step"] for row in read_lines(tmp_path / RESULTS)] == ["a", "c"]
    assert store.is_done("a") and not store.is_done("b")


def test_a_step_whose_outcome_was_lost_is_done_again(tmp_path):
    kept, taken = tmp_path / "kept", []

    def work(job):
        taken.append("models")
        kept.touch()

    models = Step("models", work, 0.0, kept=lambda job: kept.exists())
    for _ in range(2):
        work_through([models], make_job(tmp_path, tmp_path))
    kept.unlink()
    work_through([models], make_job(tmp_path, tmp_path))
    assert taken == ["models", "models"]

"""Work in several processes: order, bounded look-ahead, and what becomes of faults."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from revela.corpus.executor import run_local
from revela.errors import RevelaError


def slow_square(number: int) -> tuple[int, int]:
    time.sleep(0.05 if number % 2 else 0.0)
    return number * number, os.getpid()


def refuse_seven(number: int) -> int:
    if number == 7:
        raise RevelaError("seven")
    return number


def die_at_three(number: int) -> int:
    if number == 3:
        os._exit(9)  # as the kernel does to a process when memory is short
    return number


def test_results_come_in_the_order_of_the_items_from_several_processes() -> None:
    results = list(run_local(slow_square, range(12), 2, "corpus.workers"))
    assert [square for square, _ in results] == [number**2 for number in range(12)]
    assert len({process for _, process in results} - {os.getpid()}) == 2


def test_one_worker_or_one_item_starts_no_process() -> None:
    assert {process for _, process in run_local(slow_square, range(3), 1, "k")} == {os.getpid()}
    assert list(run_local(slow_square, [4], 8, "k")) == [(16, os.getpid())]
    assert list(run_local(slow_square, [], 8, "k")) == []


def test_only_a_few_items_are_drawn_ahead_of_the_results() -> None:
    drawn = 0

    def items() -> Iterator[int]:
        nonlocal drawn
        for number in range(40):
            drawn += 1
            yield number

    ahead = [drawn - done for done, _ in enumerate(run_local(slow_square, items(), 2, "k"))]
    assert max(ahead) <= 5


def test_a_fault_comes_back_as_it_is() -> None:
    with pytest.raises(RevelaError, match=r"^seven$"):
        list(run_local(refuse_seven, range(20), 2, "corpus.workers"))


def test_a_dead_process_is_explained() -> None:
    with pytest.raises(RevelaError, match=r"worker process died.*Lower corpus\.workers \(now 2\)"):
        list(run_local(die_at_three, range(20), 2, "corpus.workers"))

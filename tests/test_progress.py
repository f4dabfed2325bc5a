"""Progress without a terminal: plain lines, not too many."""

from __future__ import annotations

import logging

import pytest

from revela import progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: False, raising=False)
    return now


def test_a_line_every_ten_seconds_and_one_at_the_end(
    clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for _ in progress.track(range(5), "reading"):
        clock[0] += 6
    assert caplog.messages == [
        "reading: 2 of 5 (40%), 0.2/s, 0:18 left",
        "reading: 4 of 5 (80%), 0.2/s, 0:06 left",
        "reading: 5 done in 0:30",
    ]


def test_without_a_total_only_count_and_rate_are_told() -> None:
    assert progress.describe("reading", 30, None, 10.0) == "reading: 30, 3.0/s"


def test_items_pass_through_unchanged(clock: list[float]) -> None:
    assert list(progress.track(iter("abc"), "reading")) == ["a", "b", "c"]
    assert list(progress.track([], "reading")) == []

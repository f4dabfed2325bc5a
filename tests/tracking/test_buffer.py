"""Points are written in batches, and kept while the store does not answer."""

import logging

import pytest

from revela.tracking import MetricBuffer


class Store:
    """Stands for a server that can be switched off."""

    def __init__(self) -> None:
        self.up = True
        self.calls: list[int] = []

    def write(self, points: list) -> None:
        if not self.up:
            raise ConnectionError("refused")
        self.calls.append(len(points))


def test_buffer_writes_by_count_and_by_age() -> None:
    store, now = Store(), [0.0]
    buffer = MetricBuffer(store.write, every_points=3, every_seconds=10, clock=lambda: now[0])
    for step in range(4):
        buffer.add("loss", 1.0, step)
    assert (store.calls, len(buffer)) == ([3], 1)
    now[0] = 11
    buffer.add("loss", 1.0, 4)
    assert (store.calls, len(buffer)) == ([3, 2], 0)


def test_buffer_keeps_points_while_the_store_is_away(caplog: pytest.LogCaptureFixture) -> None:
    store, now = Store(), [0.0]
    buffer = MetricBuffer(store.write, every_points=2, every_seconds=10, clock=lambda: now[0])
    store.up = False
    with caplog.at_level(logging.WARNING, "revela.tracking"):
        for step in range(2500):
            now[0] += 1
            buffer.add("loss", 1.0, step)
        assert len(buffer) == 2500
        assert len(caplog.records) == 1, "warned once, not at every attempt"
        store.up = True
        assert buffer.flush()
    assert store.calls == [1000, 1000, 500]
    assert "again" in caplog.records[-1].message


def test_a_store_that_hangs_is_asked_more_rarely() -> None:
    now, attempts = [0.0], []

    def hang(_: list) -> None:
        attempts.append(now[0])
        now[0] += 40
        raise TimeoutError("no answer")

    buffer = MetricBuffer(hang, every_points=1, every_seconds=10, clock=lambda: now[0])
    for step in range(2000):
        now[0] += 1
        buffer.add("loss", 1.0, step)
    assert attempts == [1, 841, 1681]
    assert len(buffer) == 2000


@pytest.mark.parametrize("key", ["", "loss@k", "a" * 251, "häufig", "loss\n"])
def test_a_key_mlflow_refuses_is_found_at_once(key: str) -> None:
    with pytest.raises(ValueError, match="metric key"):
        MetricBuffer(Store().write).add(key, 1.0, 0)


def test_it_is_told_when_the_store_goes_away_and_when_it_is_back() -> None:
    store, heard = Store(), []
    buffer = MetricBuffer(store.write, every_points=1, every_seconds=0, clock=lambda: 0.0, told=heard.append)
    buffer.add("loss", 1.0, 0)
    assert heard == [], "all is well, and nobody needs to know"
    store.up = False
    buffer.add("loss", 1.0, 1)
    buffer.add("loss", 1.0, 2)
    assert heard == [False, False]
    store.up = True
    buffer.flush()
    buffer.add("loss", 1.0, 3)
    assert heard == [False, False, True]

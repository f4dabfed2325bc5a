"""Two runs in one folder do not meet."""

from __future__ import annotations

import threading

from flows._alone import alone


def test_a_second_run_says_that_it_waits_and_begins_when_the_first_has_ended(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    happened: list[str] = []
    waits = threading.Event()

    def second() -> None:
        with alone(lambda line: (happened.append(line), waits.set())):
            happened.append("second begins")

    with alone(happened.append):
        other = threading.Thread(target=second)
        other.start()
        assert waits.wait(10)
        happened.append("first ends")
    other.join(10)
    assert happened == [
        "another run works in this folder; this one begins when that has ended",
        "first ends",
        "second begins",
    ]

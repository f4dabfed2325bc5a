"""Pairs on disk: made once a project of the same sources by the same code, and never a reason to fail."""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path

import pytest

from revela.evaluation.benchmarks import pairs_cache
from revela.evaluation.benchmarks.pairs_cache import KEPT_FILES, remembered

ROWS = [["a.py:f", "Say it in Grüße.", "def f():\n    ..."]]


class Maker:
    """Counts how often it is asked."""

    calls = 0

    def __call__(self) -> list[list[str]]:
        self.calls += 1
        return ROWS


@pytest.fixture
def maker() -> Maker:
    return Maker()


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A source file, and a project as the working directory."""
    (tmp_path / "params.yaml").touch()
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "a.py").write_text("1")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "lib"


def again(library: Path, maker: Maker, made_by: tuple[str, ...] = (__name__,)) -> list[list[str]]:
    """As a new process would ask."""
    pairs_cache.digest.cache_clear()
    return [list(row) for row in remembered(library, sorted(library.glob("*.py")), made_by, maker)]


def test_a_second_process_makes_nothing(library: Path, maker: Maker):
    assert again(library, maker) == again(library, maker) == ROWS
    assert maker.calls == 1


def test_other_sources_names_or_code_are_made_anew(library: Path, maker: Maker):
    again(library, maker)
    (library / "a.py").write_text("2")
    again(library, maker)
    (library / "a.py").rename(library / "b.py")
    again(library, maker)
    again(library, maker, made_by=(__name__, pairs_cache.__name__))
    assert maker.calls == 4


def test_outside_of_a_project_nothing_is_written(library: Path, maker: Maker):
    Path("params.yaml").unlink()
    again(library, maker)
    again(library, maker)
    assert maker.calls == 2 and not Path("cache").exists()


@pytest.mark.parametrize("damaged", ["[[", "{}", '["row"]'])
def test_a_damaged_file_is_made_again(
    library: Path, maker: Maker, caplog: pytest.LogCaptureFixture, damaged: str
):
    again(library, maker)
    (file,) = Path("cache/benchmarks").iterdir()
    file.write_text(damaged)
    with caplog.at_level(logging.WARNING):
        assert again(library, maker) == ROWS
    assert f"{file}: cannot be read and is made again" in caplog.text
    assert again(library, maker) == ROWS and maker.calls == 2


def test_what_was_not_read_for_longest_goes(library: Path, maker: Maker):
    for number in range(KEPT_FILES + 2):
        (library / "a.py").write_text(str(number))
        again(library, maker)
        newest = max(Path("cache/benchmarks").iterdir(), key=lambda file: file.stat().st_mtime_ns)
        os.utime(newest, (number, number))
    assert len(list(Path("cache/benchmarks").iterdir())) == KEPT_FILES
    made = maker.calls
    again(library, maker)
    assert maker.calls == made, "the newest is still there"


def test_where_nothing_can_be_kept_it_is_said_and_made(
    library: Path, maker: Maker, caplog: pytest.LogCaptureFixture
):
    Path("cache").write_text("a file where the folder should be")
    with caplog.at_level(logging.WARNING):
        assert again(library, maker) == ROWS
    assert "pairs are not kept" in caplog.text


def test_a_full_disk_is_no_fault(
    library: Path, maker: Maker, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    def full(partial: Path, *_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with caplog.at_level(logging.WARNING):
        assert again(library, maker) == ROWS
    assert "pairs are not kept" in caplog.text and "no space left on the disk" in caplog.text

"""Restart and growth: what was filtered once is not filtered again, and old and new know each other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from corpora import ALL_OFF, corpus_of, prose

from revela.corpus import blocks
from revela.corpus.pipeline import filter_corpus, read_documents
from revela.corpus.worker import Worker
from revela.files import sha256_tree
from revela.settings import CorpusSettings, FilterSettings

Notes = Callable[..., Path]
DUPLICATES = ALL_OFF.model_copy(update={"drop_exact_duplicates": True})


@pytest.fixture(autouse=True)
def a_block_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 1)


@pytest.fixture
def worked_on(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were parsed and judged, in order."""
    names: list[str] = []
    original = Worker.__call__

    def call(self: Worker, block: blocks.Block) -> bytes:
        names.extend(record.file for record in block.records)
        return original(self, block)

    monkeypatch.setattr(Worker, "__call__", call)
    return names


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., dict]:
    def run(settings: CorpusSettings, protected: list[str] | None = None) -> dict:
        return filter_corpus(
            settings.model_copy(update={"workers": 1}),
            protected or [],
            tmp_path / "documents",
            tmp_path / "report",
            tmp_path / "cache",
        )

    return run


def test_nothing_changed_nothing_is_filtered_again(
    notes: Notes, run: Callable[..., dict], worked_on: list[str], tmp_path: Path
) -> None:
    settings = corpus_of(notes({f"{name}.txt": prose(50, 100 * ord(name)) for name in "abc"}))
    first = run(settings)
    before = sha256_tree(tmp_path / "documents")
    worked_on.clear()
    assert run(settings) == first
    assert worked_on == []
    assert sha256_tree(tmp_path / "documents") == before


def test_only_new_and_changed_documents_are_filtered(
    notes: Notes, run: Callable[..., dict], worked_on: list[str]
) -> None:
    folder = notes({f"{name}.txt": prose(50, 900 * number) for number, name in enumerate("abc")})
    run(corpus_of(folder))
    worked_on.clear()
    notes({"b.txt": prose(50, 5000), "d.txt": prose(50, 7000)})
    assert run(corpus_of(folder))["documents_kept"] == 4
    assert worked_on == ["notes/b.txt", "notes/d.txt"]


def test_a_new_document_is_found_to_repeat_an_old_one(
    notes: Notes, run: Callable[..., dict], worked_on: list[str], tmp_path: Path
) -> None:
    folder = notes({"a.txt": prose(400), "b.txt": prose(400, 1000)})
    settings = corpus_of(folder, DUPLICATES)
    run(settings)
    worked_on.clear()
    words = prose(400).split()
    words[200] = "changed"
    notes({"c.txt": prose(400).replace("\n", " "), "d.txt": " ".join(words)})
    metrics = run(settings)
    assert worked_on == ["notes/c.txt", "notes/d.txt"]
    assert metrics["dropped_by_reason"] == {"exact_duplicate": 1, "near_duplicate": 1}
    assert [document.id for document in read_documents(tmp_path / "documents")] == [
        "notes/a.txt", "notes/b.txt",
    ]  # fmt: skip


def test_growth_gives_the_same_bytes_as_filtering_everything_at_once(
    notes: Notes, run: Callable[..., dict], tmp_path: Path
) -> None:
    texts = {f"{name}.txt": prose(50, 5 * number) for number, name in enumerate("abcdefgh")}
    folder = notes(dict(list(texts.items())[::2]))
    run(corpus_of(folder, DUPLICATES))
    notes(texts)
    run(corpus_of(folder, DUPLICATES))
    filter_corpus(corpus_of(folder, DUPLICATES), [], tmp_path / "at_once", tmp_path / "report_at_once")
    assert sha256_tree(tmp_path / "documents") == sha256_tree(tmp_path / "at_once")
    assert sha256_tree(tmp_path / "report") == sha256_tree(tmp_path / "report_at_once")


def test_a_stopped_run_goes_on_behind_the_last_finished_block(
    notes: Notes, run: Callable[..., dict], worked_on: list[str], tmp_path: Path
) -> None:
    folder = notes({f"{name}.txt": prose(50, 100 * ord(name)) for name in "abcdef"})

    class Stopped(BaseException):
        pass

    original = Worker.__call__

    def stop_at_the_fourth(self: Worker, block: blocks.Block) -> bytes:
        if len(worked_on) == 3:
            raise Stopped
        return original(self, block)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Worker, "__call__", stop_at_the_fourth)
        with pytest.raises(Stopped):
            run(corpus_of(folder))
    assert worked_on == ["notes/a.txt", "notes/b.txt", "notes/c.txt"]
    assert not (tmp_path / "documents").exists()
    worked_on.clear()
    assert run(corpus_of(folder))["documents_kept"] == 6
    assert worked_on == ["notes/d.txt", "notes/e.txt", "notes/f.txt"]


@pytest.mark.parametrize("change", ["filters", "benchmarks"])
def test_other_rules_filter_everything_again(
    notes: Notes, run: Callable[..., dict], worked_on: list[str], change: str
) -> None:
    folder = notes({f"{name}.txt": prose(50, 100 * ord(name)) for name in "ab"})
    run(corpus_of(folder))
    worked_on.clear()
    if change == "filters":
        run(corpus_of(folder, FilterSettings(min_words=1)))
    else:
        run(corpus_of(folder), [prose(20, 9000)])
    assert len(worked_on) == 2


def test_what_does_not_change_a_document_filters_nothing_again(
    notes: Notes, run: Callable[..., dict], worked_on: list[str], tmp_path: Path
) -> None:
    folder = notes({"a.txt": prose(50), "b.txt": "\n"})
    run(corpus_of(folder))
    worked_on.clear()
    run(corpus_of(folder, keep_dropped=False, samples_per_reason=0))
    assert worked_on == []
    assert not (tmp_path / "documents" / "dropped").exists()

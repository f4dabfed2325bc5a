"""The stage as a whole: counts, what is kept aside, the same bytes twice, nothing half-written."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from corpora import ALL_OFF, corpus_of, prose

from revela.corpus import shards
from revela.corpus.pipeline import filter_corpus, read_documents
from revela.corpus.schema import DOCUMENT_SCHEMA, DROPPED_SCHEMA
from revela.errors import RevelaError
from revela.files import sha256_tree
from revela.settings import CorpusSettings, FilterSettings

Notes = Callable[..., Path]


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., dict]:
    def run(settings: CorpusSettings, protected: list[str] | None = None) -> dict:
        return filter_corpus(settings, protected or [], tmp_path / "documents", tmp_path / "report")

    return run


def test_documents_are_counted_by_reason_and_source_and_kept_aside(
    notes: Notes, run: Callable[..., dict], tmp_path: Path
) -> None:
    protected = prose(20, start=500)
    folder = notes(
        {
            "a.txt": prose(50),
            "b.txt": "too short",
            "c.txt": " \n",
            "d.txt": prose(50).replace("\n", "\r\n"),
            "e.txt": prose(60, start=900) + protected,
            "f.txt": b"\xff",
            "g.txt": prose(60, start=900) + protected + " ",
        }
    )
    metrics = run(corpus_of(folder, FilterSettings(), max_malformed_share=0.5), [protected])
    dropped = {"benchmark_overlap": 2, "empty": 1, "exact_duplicate": 1, "too_few_words": 1}
    assert metrics["dropped_by_reason"] == dropped
    assert metrics["documents_read"] == 6
    assert metrics["documents_kept"] == 1
    assert metrics["documents_dropped"] == 5
    assert metrics["malformed_by_reason"] == {"bad_encoding": 1}
    assert metrics["words_kept"] == 50
    assert metrics["characters_kept"] == len(prose(50))
    assert metrics["sources"] == {
        "folder:notes": {
            "read": 6,
            "kept": 1,
            "characters": len(prose(50)),
            "words": 50,
            "malformed": 1,
            "dropped": dropped,
        }
    }
    assert json.loads((tmp_path / "report" / "metrics.json").read_text()) == metrics

    assert [row.id for row in read_documents(tmp_path / "documents")] == ["notes/a.txt"]
    aside = pq.read_table(tmp_path / "documents" / "dropped-00000.parquet").to_pylist()
    assert [(row["id"], row["reason"]) for row in aside] == [
        ("notes/b.txt", "too_few_words"),
        ("notes/c.txt", "empty"),
        ("notes/d.txt", "exact_duplicate"),
        ("notes/e.txt", "benchmark_overlap"),
        ("notes/g.txt", "benchmark_overlap"),
    ]
    assert aside[0]["text"] == "too short"
    assert aside[0]["detail"] == "2 words, at least 40 wanted"
    malformed = (tmp_path / "documents" / "malformed.jsonl").read_text().splitlines()
    assert [json.loads(line)["file"] for line in malformed] == ["notes/f.txt"]


def test_the_files_carry_their_schema_with_descriptions(
    notes: Notes, run: Callable[..., dict], tmp_path: Path
) -> None:
    run(corpus_of(notes({"a.txt": "a"})))
    for name, schema in (("documents", DOCUMENT_SCHEMA), ("dropped", DROPPED_SCHEMA)):
        written = pq.read_schema(tmp_path / "documents" / f"{name}-00000.parquet")
        assert written.equals(schema)
        assert all(b"description" in written.field(column).metadata for column in written.names)


def test_the_same_input_gives_the_same_bytes(notes: Notes, run: Callable[..., dict], tmp_path: Path) -> None:
    settings = corpus_of(notes({f"{name}.txt": prose(50, ord(name)) for name in "abcd"}), FilterSettings())
    digests = set()
    for _ in range(2):
        run(settings)
        digests.add((sha256_tree(tmp_path / "documents"), sha256_tree(tmp_path / "report")))
    assert len(digests) == 1


def test_no_absolute_path_is_written(notes: Notes, run: Callable[..., dict], tmp_path: Path) -> None:
    run(corpus_of(notes({"a.txt": "a", "b.txt": b"\xff"}), max_malformed_share=0.9))
    for file in [*(tmp_path / "documents").iterdir(), *(tmp_path / "report").iterdir()]:
        content = pq.read_table(file).to_pylist() if file.suffix == ".parquet" else file.read_text()
        assert str(tmp_path) not in str(content)


def test_large_corpora_are_sharded_in_order(
    notes: Notes, run: Callable[..., dict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "ROW_GROUP_CHARACTERS", 10)
    monkeypatch.setattr(shards, "SHARD_CHARACTERS", 20)
    run(corpus_of(notes({f"{name}.txt": name * 6 for name in "abcdefghi"})))
    assert len(list((tmp_path / "documents").glob("documents-*.parquet"))) == 3
    assert "".join(row.text[0] for row in read_documents(tmp_path / "documents")) == "abcdefghi"


def test_equal_ids_of_different_rows_are_told_apart(
    notes: Notes, run: Callable[..., dict], tmp_path: Path
) -> None:
    folder = notes({"a.jsonl": "".join(f'{{"_id": "x", "text": "{text}"}}\n' for text in "abc")})
    metrics = run(CorpusSettings(sources=[{"kind": "files", "path": f"{folder}/a.jsonl"}], filters=ALL_OFF))
    assert [row.id for row in read_documents(tmp_path / "documents")] == ["x", "x~2", "x~3"]
    assert metrics["renamed_ids"] == 2


def test_duplicates_are_found_across_sources(notes: Notes, run: Callable[..., dict]) -> None:
    folder = notes({"a/x.txt": "same words", "b/y.txt": "same  words"})
    sources = [{"kind": "folder", "path": folder / name} for name in "ab"]
    filters = ALL_OFF.model_copy(update={"drop_exact_duplicates": True})
    metrics = run(CorpusSettings(sources=sources, filters=filters))
    assert metrics["sources"]["folder:b"]["dropped"] == {"exact_duplicate": 1}


def test_too_many_malformed_rows_stop_the_stage_and_name_the_first(
    notes: Notes, run: Callable[..., dict], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(notes({"a.jsonl": '{"text": "a"}\n{"text": 5}\n{"text": "b"}\n'}))
    settings = CorpusSettings(sources=[{"kind": "files", "path": "a.jsonl"}], filters=ALL_OFF)
    with pytest.raises(
        RevelaError, match=r"1 of 3 rows are malformed \(33\.3%\)(.|\n)*a\.jsonl:2: field 'text' is int"
    ):
        run(settings)
    run(settings.model_copy(update={"max_malformed_share": 0.4}))


def test_an_empty_result_is_an_error_with_counts(notes: Notes, run: Callable[..., dict]) -> None:
    folder = notes({"a.txt": "short", "b.txt": ""})
    with pytest.raises(RevelaError, match=r"no document is left of 2 read \(empty: 1, too_few_words: 1\)"):
        run(corpus_of(folder, FilterSettings()))


def test_a_failing_run_leaves_the_last_good_output(
    notes: Notes, run: Callable[..., dict], tmp_path: Path
) -> None:
    folder = notes({"a.txt": "good"})
    run(corpus_of(folder))
    before = (sha256_tree(tmp_path / "documents"), sha256_tree(tmp_path / "report"))
    (folder / "a.txt").write_bytes(b"\xff")
    with pytest.raises(RevelaError):
        run(corpus_of(folder))
    assert (sha256_tree(tmp_path / "documents"), sha256_tree(tmp_path / "report")) == before
    assert sorted(os.listdir(tmp_path)) == ["documents", "notes", "report"]


def test_reading_without_a_corpus_says_which_stage_to_run(tmp_path: Path) -> None:
    with pytest.raises(RevelaError, match="Run the stage filter_corpus first"):
        next(read_documents(tmp_path))


def test_decontamination_can_be_switched_off(notes: Notes, run: Callable[..., dict]) -> None:
    folder = notes({"a.txt": prose(30)})
    off = {"words": None, "jaccard": None}
    assert run(corpus_of(folder, decontamination=off), [prose(30)])["documents_kept"] == 1
    with pytest.raises(RevelaError, match="benchmark_overlap: 1"):
        run(corpus_of(folder), [prose(30)])

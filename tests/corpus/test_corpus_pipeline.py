"""The stage as a whole: counts, what is kept aside, the same bytes twice, nothing half-written."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from corpora import ALL_OFF, corpus_of, prose

from revela.corpus import blocks, shards
from revela.corpus.counts import Counts
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


def test_a_rule_that_takes_most_of_a_corpus_is_named(
    notes: Notes, run: Callable[..., dict], caplog: pytest.LogCaptureFixture
) -> None:
    short = {f"short-{number}.txt": f"a ticket of few words, number {number}" for number in range(3)}
    folder = notes({"long.txt": prose(50), "other.txt": prose(50, start=300), **short})
    run(corpus_of(folder, FilterSettings(drop_exact_duplicates=False)))
    assert "3 of the 5 documents were dropped as `too_few_words`" in caplog.text
    assert "loosen corpus.filters.min_words." in caplog.text
    caplog.clear()
    run(corpus_of(folder, FilterSettings(min_words=3, min_stop_words=None, drop_exact_duplicates=False)))
    assert "were dropped as" not in caplog.text


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
    aside = {
        file.name: pq.read_table(file).to_pylist() for file in (tmp_path / "documents" / "dropped").iterdir()
    }
    assert {name: [row["id"] for row in rows] for name, rows in aside.items()} == {
        "too_few_words-00000.parquet": ["notes/b.txt"],
        "empty-00000.parquet": ["notes/c.txt"],
        "exact_duplicate-00000.parquet": ["notes/d.txt"],
        "benchmark_overlap-00000.parquet": ["notes/e.txt", "notes/g.txt"],
    }
    (short,) = aside["too_few_words-00000.parquet"]
    assert short["text"] == "too short"
    assert short["detail"] == "2 words, at least 40 wanted"
    (copy,) = aside["exact_duplicate-00000.parquet"]
    assert copy["detail"] == "same text as notes/a.txt"
    malformed = (tmp_path / "documents" / "malformed.jsonl").read_text().splitlines()
    assert [json.loads(line)["file"] for line in malformed] == ["notes/f.txt"]


def test_the_files_carry_their_schema_with_descriptions(
    notes: Notes, run: Callable[..., dict], tmp_path: Path
) -> None:
    run(corpus_of(notes({"a.txt": "a", "b.txt": ""})))
    for name, schema in (("documents", DOCUMENT_SCHEMA), ("dropped/empty", DROPPED_SCHEMA)):
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
    for file in [*(tmp_path / "documents").rglob("*.*"), *(tmp_path / "report").rglob("*.*")]:
        if file.suffix == ".png":
            continue
        content = pq.read_table(file).to_pylist() if file.suffix == ".parquet" else file.read_text()
        assert str(tmp_path) not in str(content)


def test_large_corpora_are_sharded_in_order(
    notes: Notes, run: Callable[..., dict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 12)
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
    off = {"words": None, "containment": None}
    assert run(corpus_of(folder, decontamination=off), [prose(30)])["documents_kept"] == 1
    with pytest.raises(RevelaError, match="benchmark_overlap: 1"):
        run(corpus_of(folder), [prose(30)])


def test_near_duplicates_are_dropped_whatever_source_they_come_from(
    notes: Notes, run: Callable[..., dict], tmp_path: Path
) -> None:
    words = prose(300).split()
    words[100] = "changed"
    folder = notes({"a/x.txt": prose(300), "b/y.txt": " ".join(words), "b/z.txt": prose(300, 1000)})
    settings = CorpusSettings(
        sources=[{"kind": "folder", "path": folder / name} for name in "ab"], filters=ALL_OFF
    )
    assert run(settings)["sources"]["folder:b"]["dropped"] == {"near_duplicate": 1}
    (row,) = pq.read_table(tmp_path / "documents" / "dropped").to_pylist()
    assert (row["id"], row["detail"]) == ("b/y.txt", "nearly the text of a/x.txt")
    off = settings.model_copy(update={"near_duplicates": None})
    assert run(off)["documents_kept"] == 3


def test_weights_thin_the_sources_that_have_too_much(notes: Notes, run: Callable[..., dict]) -> None:
    texts = {f"{name}/{number:03d}.txt": prose(50, 60 * number) for name in "ab" for number in range(200)}
    folder = notes(texts | {f"c/{number:03d}.txt": prose(50, 60 * number + 12300) for number in range(50)})
    settings = CorpusSettings(
        sources=[
            {"kind": "folder", "path": folder / name, "weight": weight}
            for name, weight in (("a", 3.0), ("c", 1.0))
        ],
        filters=ALL_OFF,
    )
    metrics = run(settings)
    # The scarcer source stays whole; of the other three times as much is kept: 150 of 200 documents.
    assert metrics["sources"]["folder:c"]["kept"] == 50
    assert metrics["source_fractions"] == [0.75, 1.0]
    assert abs(metrics["sources"]["folder:a"]["kept"] - 150) < 20
    assert metrics["dropped_by_reason"] == {"source_weight": 200 - metrics["sources"]["folder:a"]["kept"]}


def test_several_processes_give_the_same_bytes_as_one(
    notes: Notes, run: Callable[..., dict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 1000)
    texts = {f"{number}.txt": prose(50, 20 * number) for number in range(20)}
    settings = corpus_of(notes({**texts, "bad.txt": b"\xff", "short.txt": "few"}), FilterSettings())
    settings = settings.model_copy(update={"max_malformed_share": 0.5})
    digests = set()
    for workers in (1, 2):
        run(settings.model_copy(update={"workers": workers}))
        digests.add((sha256_tree(tmp_path / "documents"), sha256_tree(tmp_path / "report")))
    assert len(digests) == 1


def test_what_is_read_is_kept_dropped_or_refused(
    notes: Notes, run: Callable[..., dict], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = notes({"a.txt": prose(50), "b.txt": "few", "c.txt": b"\xff", "d.txt": prose(50)})
    settings = corpus_of(folder, FilterSettings(), max_malformed_share=0.5)
    metrics = run(settings)
    assert metrics["records"] == 4
    assert metrics["documents_kept"] + metrics["documents_dropped"] + metrics["rows_malformed"] == 4
    # The books are checked in every run: a row that vanished is an error, not a smaller number.
    monkeypatch.setattr(Counts, "add_malformed", lambda self, fault: None)
    with pytest.raises(AssertionError, match="4 records were read, but 3 are accounted for"):
        run(settings)


def test_many_rows_of_one_id_are_named_one_after_the_other(
    notes: Notes, run: Callable[..., dict], tmp_path: Path
) -> None:
    rows = "".join(f'{{"_id": "x", "text": "row {number}"}}\n' for number in range(3000))
    folder = notes({"a.jsonl": rows + '{"_id": "x~7", "text": "taken"}\n'})
    filters = ALL_OFF
    run(CorpusSettings(sources=[{"kind": "files", "path": f"{folder}/a.jsonl"}], filters=filters))
    ids = [row.id for row in read_documents(tmp_path / "documents")]
    assert ids[:3] + ids[5:8] == ["x", "x~2", "x~3", "x~6", "x~8", "x~9"]
    assert len(set(ids)) == 3001


def test_a_weight_of_a_source_with_nothing_left_is_told(
    notes: Notes, run: Callable[..., dict], caplog: pytest.LogCaptureFixture
) -> None:
    folder = notes({"a/x.txt": prose(50), "b/y.txt": ""})
    sources = [{"kind": "folder", "path": folder / name, "weight": 1.0} for name in "ab"]
    run(CorpusSettings(sources=sources, filters=ALL_OFF))
    assert "nothing is left of sources.1" in caplog.text

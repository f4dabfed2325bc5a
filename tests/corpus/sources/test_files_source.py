"""JSONL and Parquet: one row is one document, and a bad row is named with its line."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from opened import checked, documents, faults

from revela.corpus.schema import MALFORMED_REASONS, Document, Malformed
from revela.corpus.sources import open_records, open_source
from revela.errors import RevelaError
from revela.settings import FilesSource

Notes = Callable[..., Path]


BAD_LINES = [
    (b'{"text": "cut', "bad_json", "not JSON"),
    (b'["text"]', "not_an_object", "a JSON list, not an object"),
    (b'{"body": "a"}', "missing_field", r"no field 'text' (fields: body)"),
    (b'{"text": null}', "missing_field", "no field 'text'"),
    (b'{"text": 5}', "wrong_type", "field 'text' is int, not a string"),
    (b'{"text": " \\n"}', "empty_text", "field 'text' is empty"),
    (b'{"text": "caf\xe9"}', "bad_encoding", "not UTF-8: byte 0xe9"),
    (b'{"text": "\\ud83e"}', "bad_encoding", "lone surrogate"),
    (b'{"text": "a\\u0000"}', "binary", "zero character"),
]


@pytest.mark.parametrize(("line", "reason", "what"), BAD_LINES)
def test_a_bad_line_is_reported_with_file_and_line(
    notes: Notes, line: bytes, reason: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(notes({"a.jsonl": b'{"text": "good"}\n\n' + line + b'\n{"text": "too"}\n'}))
    rows = list(open_source(FilesSource(kind="files", path="a.jsonl")))
    assert [type(row) for row in rows] == [Document, Malformed, Document]
    assert (rows[1].place, rows[1].reason) == ("a.jsonl:3", reason)
    assert what in rows[1].what


def test_their_reasons_are_listed() -> None:
    assert {reason for _, reason, _ in BAD_LINES} <= MALFORMED_REASONS


def test_id_and_title_come_from_their_fields_or_from_file_and_line(notes: Notes) -> None:
    folder = notes(
        {"a.jsonl": '{"_id": "x", "title": "T", "text": "a"}\n{"text": "b"}\n{"_id": 7, "text": "c"}'}
    )
    rows = documents(FilesSource(kind="files", path=f"{folder}/a.jsonl"))
    assert [(row.id, row.title) for row in rows] == [("x", "T"), ("a.jsonl#2", ""), ("7", "")]


def test_a_pattern_reads_plain_and_compressed_files_by_name(
    notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = '{"text": "%s"}\n'
    folder = notes({"data/b.jsonl": line % "b", "data/a.jsonl.gz": gzip.compress((line % "a").encode())})
    monkeypatch.chdir(folder)
    rows = documents(FilesSource(kind="files", path="data/*"))
    assert [(row.text, row.source) for row in rows] == [("a", "files:data/*"), ("b", "files:data/*")]


def test_parquet_rows_are_read_and_bad_ones_named_by_row(
    notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(notes({"x": ""}))
    pq.write_table(pa.table({"_id": ["p", "q"], "body": ["first", None], "n": [1, 2]}), "a.parquet")
    rows = list(open_source(FilesSource(kind="files", path="a.parquet", text_field="body")))
    assert (rows[0].id, rows[0].text) == ("p", "first")
    assert (rows[1].place, rows[1].reason) == ("a.parquet:2", "missing_field")


def test_absolute_paths_do_not_reach_the_output(notes: Notes) -> None:
    folder = notes({"a.jsonl": '{"text": "a"}\n{"text": ""}\n'})
    rows = list(open_source(FilesSource(kind="files", path=f"{folder}/*.jsonl")))
    assert not any(str(folder) in str(row) for row in rows)


def test_faults_are_found_before_work_starts(notes: Notes) -> None:
    folder = notes({"a.xlsx": "a,b", "a.json": '[\n{"text": "a"}]', "sub/x": "", "b.parquet": "junk"})
    pq.write_table(pa.table({"body": ["b"]}), folder / "c.parquet")
    for path, message in {
        "none/*.jsonl": "no such file, or the pattern matches nothing",
        "sub": r"a folder\. Use `path: .*sub/\*\.jsonl`",
        "a.xlsx": "unknown format; the suffixes read are .jsonl",
        "a.json": r"one JSON array.*jq -c",
        "b.parquet": "not a readable Parquet file",
        "c.parquet": r"no column 'text'\. Set `text_field` to one of: body",
    }.items():
        with pytest.raises(RevelaError, match=message):
            checked(FilesSource(kind="files", path=f"{folder}/{path}"))


def test_a_damaged_archive_is_named_with_the_last_good_line(notes: Notes) -> None:
    lines = "".join(json.dumps({"text": f"{number} " * 50}) + "\n" for number in range(5000)).encode()
    folder = notes({"a.jsonl.gz": gzip.compress(lines)[:-2000]})
    with pytest.raises(RevelaError, match=r"a\.jsonl\.gz:\d+: damaged gzip file after this line"):
        list(open_source(FilesSource(kind="files", path=f"{folder}/a.jsonl.gz")))


def test_records_of_lines_are_the_bytes_of_the_file(notes: Notes) -> None:
    lines = [b'{"text": "a", "more": [1, 2]}\n', b"not JSON\r\n", b'{"text": "c"}']
    folder = notes({"a.jsonl": b"".join(lines)})
    found = open_records(FilesSource(kind="files", path=f"{folder}/a.jsonl"))
    assert [record.payload for record in found] == lines


def test_a_long_line_is_refused_and_the_next_one_read(notes: Notes) -> None:
    lines = b'{"text": "a"}\n{"text": "' + b"x" * 5000 + b'"}\n{"text": "b"}\n'
    for name, content in {"a.jsonl": lines, "a.jsonl.gz": gzip.compress(lines)}.items():
        source = FilesSource(kind="files", path=f"{notes({name: content})}/{name}")
        first, second, third = open_source(source, 1000)
        assert (first.text, third.text, third.id) == ("a", "b", f"{name}#3")  # type: ignore[union-attr]
        assert (second.place, second.reason) == (f"{name}:2", "too_large")  # type: ignore[union-attr]
        assert "max_record_megabytes" in second.what  # type: ignore[union-attr]


def test_columns_can_be_kept_as_metadata_and_tell_the_kind(notes: Notes) -> None:
    row = {"text": "x = 1", "url": "u", "n": [1, None], "score": float("nan"), "lang": "py"}
    folder = notes({"a.jsonl": f"{json.dumps(row)}\n" + '{"text": "y", "lang": null}\n'})
    first, second = documents(
        FilesSource(
            kind="files",
            path=f"{folder}/a.jsonl",
            metadata_fields=["url", "n", "score", "missing"],
            document_kind="markdown",
            document_kind_field="lang",
        )
    )
    assert json.loads(first.metadata) == {"url": "u", "n": [1, None], "score": None}
    assert (first.kind, second.kind, second.metadata) == ("python", "markdown", "{}")


def test_rows_of_html_become_text(notes: Notes) -> None:
    folder = notes({"a.jsonl": '{"text": "<title>T</title><p>a &amp; b"}\n{"text": "<br>"}\n'})
    first, second = open_source(FilesSource(kind="files", path=f"{folder}/*", document_kind="html"))
    assert isinstance(first, Document) and isinstance(second, Malformed)
    assert (first.title, first.text, first.kind) == ("T", "a & b", "text")
    assert second.reason == "empty_text"


def test_empty_files_among_others_are_named(notes: Notes) -> None:
    empty = {"a.jsonl": "", "c.jsonl": "\n \n", "d.csv": "text\n", "e.csv": ""}
    folder = notes({**empty, "b.jsonl": '{"text": "b"}'})
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), folder / "f.parquet")
    found = faults(FilesSource(kind="files", path=f"{folder}/*"))
    assert found == [(name, "empty_file") for name in (*empty, "f.parquet")]


def test_a_decompression_bomb_is_refused(notes: Notes) -> None:
    bomb = gzip.compress((b'{"text": "' + b"a" * 1000 + b'"}\n') * 120_000)
    folder = notes({"a.jsonl.gz": bomb})
    with pytest.raises(RevelaError, match=r"a\.jsonl\.gz:\d+: grows to more than 100 MB.*bomb"):
        list(open_source(FilesSource(kind="files", path=f"{folder}/a.jsonl.gz")))


def test_utf_16_is_refused_with_the_command_that_helps(notes: Notes) -> None:
    folder = notes({"a.jsonl": '{"text": "a"}\n'.encode("utf-16")})
    with pytest.raises(RevelaError, match=r"a\.jsonl: UTF-16.*iconv"):
        list(open_source(FilesSource(kind="files", path=f"{folder}/a.jsonl")))


def test_a_recursive_pattern_does_not_follow_links_to_folders(notes: Notes) -> None:
    folder = notes({"a/x.jsonl": '{"text": "x"}', ".hidden/y.jsonl": '{"text": "y"}'})
    (folder / "a" / "one").symlink_to(folder)
    (folder / "a" / "two").symlink_to(folder)
    assert len(documents(FilesSource(kind="files", path=f"{folder}/**/*.jsonl"))) == 1


def test_pipes_are_passed_over_and_links_astray_named(notes: Notes) -> None:
    folder = notes({"a.jsonl": '{"text": "a"}'})
    os.mkfifo(folder / "pipe.jsonl")
    assert len(documents(FilesSource(kind="files", path=f"{folder}/*.jsonl"))) == 1
    (folder / "gone.jsonl").symlink_to("nowhere")
    with pytest.raises(RevelaError, match=r"gone\.jsonl: a link that leads nowhere"):
        checked(FilesSource(kind="files", path=f"{folder}/*.jsonl"))


def test_parquet_values_that_are_no_text_are_named_by_row(notes: Notes) -> None:
    folder = notes({"x": ""})
    broken = pa.array([b"good", b"\xff\xfe", b"also good"]).view(pa.string())
    far = pa.array([0, 0, 2**62], pa.timestamp("us"))
    pq.write_table(pa.table({"text": broken, "day": far}), folder / "a.parquet")
    source = FilesSource(kind="files", path=f"{folder}/a.parquet", metadata_fields=["day"])
    assert faults(source) == [("a.parquet:2", "bad_encoding"), ("a.parquet:3", "wrong_type")]
    first = next(open_source(source))
    assert json.loads(first.metadata) == {"day": "1970-01-01 00:00:00"}  # type: ignore[union-attr]


def test_a_parquet_file_cut_in_its_rows_is_named_with_the_last_good_one(notes: Notes) -> None:
    folder = notes({"x": ""})
    path = folder / "a.parquet"
    texts = [f"{number} {number * 7919 % 10007}" * 50 for number in range(5000)]
    pq.write_table(pa.table({"text": texts}), path, compression="gzip", use_dictionary=False)
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2 : len(raw) // 2 + 4000] = bytes(4000)
    path.write_bytes(raw)
    with pytest.raises(RevelaError, match=r"a\.parquet: damaged Parquet file after row \d+"):
        list(open_source(FilesSource(kind="files", path=str(path))))


def test_wanted_columns_must_stand_once(notes: Notes) -> None:
    folder = notes({"a.csv": "text,text\na,b\n"})
    twice = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
    pq.write_table(twice, folder / "b.parquet")
    for name in ("a.csv", "b.parquet"):
        with pytest.raises(RevelaError, match=rf"{name}: more than one column 'text'"):
            checked(FilesSource(kind="files", path=f"{folder}/{name}"))

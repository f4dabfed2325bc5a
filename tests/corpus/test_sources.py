"""Documents come in the same order every time; what cannot be read is named with its place."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from revela.corpus.schema import MALFORMED_REASONS, Document, Malformed
from revela.corpus.sources import SOURCES, check_sources, open_source
from revela.errors import RevelaError
from revela.settings import CorpusSettings, DistributionsSource, FilesSource, FolderSource, HubSource

Notes = Callable[..., Path]


def documents(source: object) -> list[Document]:
    rows = list(open_source(source))  # type: ignore[arg-type]
    assert all(isinstance(row, Document) for row in rows), rows
    return rows  # type: ignore[return-value]


def checked(*sources: object) -> None:
    check_sources(CorpusSettings(sources=list(sources)))  # type: ignore[arg-type]


def test_the_registry_has_every_kind_of_the_settings() -> None:
    assert set(SOURCES) == {"distributions", "files", "folder", "hub"}


class TestDistributions:
    def test_every_file_is_a_document_with_a_path_that_all_machines_share(self) -> None:
        rows = documents(DistributionsSource(kind="distributions", names=["click"]))
        assert [row.id for row in rows] == sorted(row.id for row in rows)
        core = next(row for row in rows if row.id == "click/core.py")
        assert core.kind == "python"
        assert core.source == f"distributions:click=={version('click')}"
        assert json.loads(core.metadata) == {"distribution": "click", "version": version("click")}
        import click.core

        assert core.text.encode() == Path(click.core.__file__).read_bytes()

    def test_suffixes_and_exclude_choose_the_files(self) -> None:
        source = DistributionsSource(
            kind="distributions", names=["click"], suffixes=[".py"], exclude=["click/[!c]*", "*/_*"]
        )
        rows = documents(source)
        assert rows and all(row.id.startswith("click/c") for row in rows)

    def test_a_missing_distribution_is_named_with_the_command_that_helps(self) -> None:
        with pytest.raises(RevelaError, match=r"not installed: no-such-thing.*pip install no-such-thing"):
            checked(DistributionsSource(kind="distributions", names=["click", "no-such-thing"]))

    def test_a_distribution_without_a_matching_file_is_refused(self) -> None:
        with pytest.raises(RevelaError, match=r"click has no file ending in \.f90"):
            checked(DistributionsSource(kind="distributions", names=["click"], suffixes=[".f90"]))


class TestFolder:
    def test_files_below_the_folder_come_by_path_with_their_kind(self, notes: Notes) -> None:
        folder = notes(
            {"b.txt": "b", "a/x.md": "# x", "a/y.rst": "y", "c.py": "c", ".git/d.txt": "d", "skip.bin": "e"}
        )
        rows = documents(FolderSource(kind="folder", path=folder))
        assert [(row.id, row.kind) for row in rows] == [
            ("notes/a/x.md", "markdown"),
            ("notes/a/y.rst", "rst"),
            ("notes/b.txt", "text"),
            ("notes/c.py", "python"),
        ]
        assert {row.source for row in rows} == {"folder:notes"}

    def test_text_is_kept_as_it_is_but_for_a_byte_order_mark(self, notes: Notes) -> None:
        folder = notes({"a.txt": b"\xef\xbb\xbfone\r\n\ttwo  \n\n"})
        assert documents(FolderSource(kind="folder", path=folder))[0].text == "one\r\n\ttwo  \n\n"

    @pytest.mark.parametrize(
        ("content", "reason", "what"),
        [
            (b"caf\xe9", "bad_encoding", "not UTF-8: byte 0xe9 at byte 3"),
            (b"a\0b", "binary", "zero byte at byte 1: not a text"),
        ],
    )
    def test_unreadable_files_are_reported(
        self, notes: Notes, content: bytes, reason: str, what: str
    ) -> None:
        folder = notes({"a.txt": content})
        row = Malformed("notes/a.txt", None, reason, what, "folder:notes")
        assert list(open_source(FolderSource(kind="folder", path=folder))) == [row]
        assert row.place == "notes/a.txt"

    def test_exclude_leaves_paths_out(self, notes: Notes) -> None:
        folder = notes({"a.txt": "a", "old/b.txt": "b"})
        rows = documents(FolderSource(kind="folder", path=folder, exclude=["old/*"]))
        assert [row.id for row in rows] == ["notes/a.txt"]

    @pytest.mark.parametrize(
        ("path", "message"),
        [("missing", "no such folder"), ("notes/a.bin", "not a folder"), ("notes", "no file ending in")],
    )
    def test_faults_are_found_before_work_starts(
        self, notes: Notes, tmp_path: Path, path: str, message: str
    ) -> None:
        notes({"a.bin": "a"})
        with pytest.raises(RevelaError, match=message):
            checked(FolderSource(kind="folder", path=tmp_path / path))


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


class TestFiles:
    @pytest.mark.parametrize(("line", "reason", "what"), BAD_LINES)
    def test_a_bad_line_is_reported_with_file_and_line(
        self, notes: Notes, line: bytes, reason: str, what: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(notes({"a.jsonl": b'{"text": "good"}\n\n' + line + b'\n{"text": "too"}\n'}))
        rows = list(open_source(FilesSource(kind="files", path="a.jsonl")))
        assert [type(row) for row in rows] == [Document, Malformed, Document]
        assert (rows[1].place, rows[1].reason) == ("a.jsonl:3", reason)
        assert what in rows[1].what

    def test_their_reasons_are_listed(self) -> None:
        assert {reason for _, reason, _ in BAD_LINES} <= MALFORMED_REASONS

    def test_id_and_title_come_from_their_fields_or_from_file_and_line(self, notes: Notes) -> None:
        folder = notes(
            {"a.jsonl": '{"_id": "x", "title": "T", "text": "a"}\n{"text": "b"}\n{"_id": 7, "text": "c"}'}
        )
        rows = documents(FilesSource(kind="files", path=f"{folder}/a.jsonl"))
        assert [(row.id, row.title) for row in rows] == [("x", "T"), ("a.jsonl#2", ""), ("7", "")]

    def test_a_pattern_reads_plain_and_compressed_files_by_name(
        self, notes: Notes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        line = '{"text": "%s"}\n'
        folder = notes({"data/b.jsonl": line % "b", "data/a.jsonl.gz": gzip.compress((line % "a").encode())})
        monkeypatch.chdir(folder)
        rows = documents(FilesSource(kind="files", path="data/*"))
        assert [(row.text, row.source) for row in rows] == [("a", "files:data/*"), ("b", "files:data/*")]

    def test_parquet_rows_are_read_and_bad_ones_named_by_row(
        self, notes: Notes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(notes({"x": ""}))
        pq.write_table(pa.table({"_id": ["p", "q"], "body": ["first", None], "n": [1, 2]}), "a.parquet")
        rows = list(open_source(FilesSource(kind="files", path="a.parquet", text_field="body")))
        assert (rows[0].id, rows[0].text) == ("p", "first")
        assert (rows[1].place, rows[1].reason) == ("a.parquet:2", "missing_field")

    def test_absolute_paths_do_not_reach_the_output(self, notes: Notes) -> None:
        folder = notes({"a.jsonl": '{"text": "a"}\n{"text": ""}\n'})
        rows = list(open_source(FilesSource(kind="files", path=f"{folder}/*.jsonl")))
        assert not any(str(folder) in str(row) for row in rows)

    def test_faults_are_found_before_work_starts(self, notes: Notes) -> None:
        folder = notes({"a.csv": "a,b", "a.json": '[\n{"text": "a"}]', "sub/x": "", "b.parquet": "junk"})
        pq.write_table(pa.table({"body": ["b"]}), folder / "c.parquet")
        for path, message in {
            "none/*.jsonl": "no such file, or the pattern matches nothing",
            "sub": r"a folder\. Use `path: .*sub/\*\.jsonl`",
            "a.csv": "unknown format; the suffixes read are .jsonl",
            "a.json": r"one JSON array.*jq -c",
            "b.parquet": "not a readable Parquet file",
            "c.parquet": r"no column 'text'\. Set `text_field` to one of: body",
        }.items():
            with pytest.raises(RevelaError, match=message):
                checked(FilesSource(kind="files", path=f"{folder}/{path}"))

    def test_a_damaged_archive_is_named_with_the_last_good_line(self, notes: Notes) -> None:
        lines = "".join(json.dumps({"text": f"{number} " * 50}) + "\n" for number in range(5000)).encode()
        folder = notes({"a.jsonl.gz": gzip.compress(lines)[:-2000]})
        with pytest.raises(RevelaError, match=r"a\.jsonl\.gz:\d+: damaged gzip file after this line"):
            list(open_source(FilesSource(kind="files", path=f"{folder}/a.jsonl.gz")))


class TestHub:
    """The loading code is the library's own; a data set folder on the disk stands in for the hub."""

    @pytest.fixture(autouse=True)
    def _offline(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)

    def data_set(self, tmp_path: Path) -> str:
        folder = tmp_path / "passages"
        folder.mkdir()
        table = pa.table({"docid": ["a", "b", "c"], "title": ["A", "B", "C"], "text": ["one", "", "three"]})
        pq.write_table(table, folder / "train.parquet")
        return str(folder)

    def test_rows_are_streamed_up_to_the_limit(self, tmp_path: Path) -> None:
        source = HubSource(
            kind="hub", name=self.data_set(tmp_path), id_field="docid", title_field="title", limit=2
        )
        first, second = open_source(source)
        assert first == Document("a", "A", "one", "hub:passages/train", "text")
        assert second == Malformed(
            "passages/train", 2, "empty_text", "field 'text' is empty", "hub:passages/train"
        )

    def test_rows_without_an_id_are_numbered(self, tmp_path: Path) -> None:
        rows = list(open_source(HubSource(kind="hub", name=self.data_set(tmp_path))))
        assert [row.id for row in rows if isinstance(row, Document)] == [
            "passages/train#1",
            "passages/train#3",
        ]

    def test_a_missing_column_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(RevelaError, match=r"no column 'body'.*docid, title, text"):
            checked(HubSource(kind="hub", name=self.data_set(tmp_path), text_field="body"))

    def test_a_missing_split_points_to_config_and_split(self, tmp_path: Path) -> None:
        with pytest.raises(RevelaError, match="check `config` and `split`"):
            checked(HubSource(kind="hub", name=self.data_set(tmp_path), split="no_such_split"))

    def test_without_a_network_the_advice_is_to_use_files(self) -> None:
        with pytest.raises(
            RevelaError, match=r"data set nobody/nothing: .*hub cannot be reached.*kind: files"
        ):
            checked(HubSource(kind="hub", name="nobody/nothing"))

"""The loading code is the library's own; a data set folder on the disk stands in for the hub."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from opened import checked, faults

from revela.corpus.schema import Document, Malformed
from revela.corpus.sources import open_source
from revela.errors import RevelaError
from revela.settings import HubSource


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)


def data_set(tmp_path: Path) -> str:
    folder = tmp_path / "passages"
    folder.mkdir()
    table = pa.table({"docid": ["a", "b", "c"], "title": ["A", "B", "C"], "text": ["one", "", "three"]})
    pq.write_table(table, folder / "train.parquet")
    return str(folder)


def test_rows_are_streamed_up_to_the_limit(tmp_path: Path) -> None:
    source = HubSource(kind="hub", name=data_set(tmp_path), id_field="docid", title_field="title", limit=2)
    first, second = open_source(source)
    assert first == Document("a", "A", "one", "hub:passages/train", "text")
    assert second == Malformed(
        "passages/train", 2, "empty_text", "field 'text' is empty", "hub:passages/train"
    )


def test_rows_without_an_id_are_numbered(tmp_path: Path) -> None:
    rows = list(open_source(HubSource(kind="hub", name=data_set(tmp_path))))
    assert [row.id for row in rows if isinstance(row, Document)] == [
        "passages/train#1",
        "passages/train#3",
    ]


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(RevelaError, match=r"no column 'body'.*docid, title, text"):
        checked(HubSource(kind="hub", name=data_set(tmp_path), text_field="body"))


def test_a_missing_split_points_to_config_and_split(tmp_path: Path) -> None:
    with pytest.raises(RevelaError, match="check `config` and `split`"):
        checked(HubSource(kind="hub", name=data_set(tmp_path), split="no_such_split"))


def test_without_a_network_the_advice_is_to_use_files() -> None:
    with pytest.raises(RevelaError, match=r"data set nobody/nothing: .*hub cannot be reached.*kind: files"):
        checked(HubSource(kind="hub", name="nobody/nothing"))


def test_a_data_set_with_a_loading_script_is_explained(tmp_path: Path) -> None:
    folder = tmp_path / "scripted"
    folder.mkdir()
    (folder / "scripted.py").write_text("import datasets\n")
    with pytest.raises(RevelaError, match=r"loading script.*hf download .*kind: files"):
        checked(HubSource(kind="hub", name=str(folder)))


def test_metadata_are_spelled_out_and_other_columns_not_read(tmp_path: Path) -> None:
    folder = tmp_path / "dated"
    folder.mkdir()
    table = pa.table({"text": ["a"], "day": [date(2026, 1, 2)], "raw": [b"\xff"], "huge": ["x" * 2000]})
    pq.write_table(table, folder / "train.parquet")
    source = HubSource(kind="hub", name=str(folder), metadata_fields=["day", "raw"])
    (row,) = open_source(source, 1000)
    assert isinstance(row, Document)
    assert json.loads(row.metadata) == {"day": "2026-01-02", "raw": "b'\\xff'"}


def test_a_long_row_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "long"
    folder.mkdir()
    pq.write_table(pa.table({"text": ["a", "x" * 2000, "b"]}), folder / "train.parquet")
    source = HubSource(kind="hub", name=str(folder))
    assert faults(source, 1000) == [("long/train:2", "too_large")]

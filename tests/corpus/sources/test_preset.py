"""The paper's corpora by name: what each stands for, and that it is read as such a data set."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from opened import documents

from revela.corpus.sources.presets import PRESETS, hub_source
from revela.settings import PresetSource
from revela.settings.sources import Preset


def test_every_name_of_the_settings_is_described() -> None:
    assert set(PRESETS) == set(get_args(Preset))
    assert PRESETS["fineweb-edu"].config == "sample-10BT"
    assert PRESETS["wikipedia-nq"].name == "Tevatron/wikipedia-nq-corpus"


def test_revision_limit_and_weight_are_the_users() -> None:
    source = PresetSource(kind="preset", name="fineweb-edu", revision="abc", limit=3, weight=2.0)
    found = hub_source(source)
    assert (found.revision, found.limit, found.weight) == ("abc", 3, 2.0)


def test_rows_are_read_with_the_columns_described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "library-documentation"
    folder.mkdir()
    table = pa.table(
        {"doc_id": ["numpy.abs", "numpy.add"], "doc_content": ["Absolute.", "Add."], "n": [1, 2]}
    )
    pq.write_table(table, folder / "train.parquet")
    local = PRESETS["library-documentation"].model_copy(update={"name": str(folder)})
    monkeypatch.setitem(PRESETS, "library-documentation", local)
    (row,) = documents(PresetSource(kind="preset", name="library-documentation", limit=1))
    assert (row.id, row.title, row.text) == ("numpy.abs", "numpy.abs", "Absolute.")
    assert row.source == "hub:library-documentation/train"

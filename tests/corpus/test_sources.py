"""What holds for sources of every kind."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from revela.corpus.sources import SOURCES, open_records, open_source, parse_record
from revela.settings import FilesSource, FolderSource, Source

Notes = Callable[..., Path]


def test_the_registry_has_every_kind_of_the_settings() -> None:
    union = get_args(Source)[0]
    kinds = {get_args(source.model_fields["kind"].annotation)[0] for source in get_args(union)}
    assert set(SOURCES) == kinds


@pytest.mark.parametrize("kind", ["folder", "files"])
def test_a_record_can_be_parsed_by_another_process(notes: Notes, kind: str) -> None:
    folder = notes({"a.jsonl": '{"text": "a"}\nbad\n', "b.txt": "b", "c.txt": b"\xff"})
    source = (
        FolderSource(kind="folder", path=folder)
        if kind == "folder"
        else FilesSource(kind="files", path=f"{folder}/*.jsonl")
    )
    sent = [pickle.loads(pickle.dumps((source, record))) for record in open_records(source)]
    assert [parse_record(*both) for both in sent] == list(open_source(source))

"""What holds for sources of every kind."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from revela.corpus.schema import Document, Malformed
from revela.corpus.sources import SOURCES, open_records, open_source, parse_record
from revela.settings import FilesSource, FolderSource, Source, StackExchangeSource

Notes = Callable[..., Path]


def test_the_registry_has_every_kind_of_the_settings() -> None:
    union = get_args(Source)[0]
    kinds = {get_args(source.model_fields["kind"].annotation)[0] for source in get_args(union)}
    assert set(SOURCES) == kinds


POSTS = '<posts>\n<row Id="1" PostTypeId="1" Body="a" />\n<row Id="2" PostTypeId="1" />\n</posts>'


@pytest.mark.parametrize("kind", ["folder", "files", "stackexchange"])
def test_a_record_can_be_parsed_wherever_its_file_is_not(notes: Notes, kind: str) -> None:
    folder = notes({"a.jsonl": '{"text": "a"}\nbad\n', "b.txt": "b", "c.txt": b"\xff", "Posts.xml": POSTS})
    source = {
        "folder": FolderSource(kind="folder", path=folder),
        "files": FilesSource(kind="files", path=f"{folder}/*.jsonl"),
        "stackexchange": StackExchangeSource(kind="stackexchange", path=folder),
    }[kind]
    rows = list(open_source(source))
    sent = [pickle.loads(pickle.dumps((source, record))) for record in open_records(source)]
    shutil.rmtree(folder)
    assert [parse_record(*both) for both in sent] == rows
    assert {type(row) for row in rows} == {Document, Malformed}

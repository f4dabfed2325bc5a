"""How much there is to read, before it is read: the total of the progress report."""

from __future__ import annotations

import gzip
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from revela.corpus.sources import expected_bytes, open_records
from revela.settings import CorpusSettings


def sizes(*sources: dict) -> tuple[int | None, int]:
    """(bytes expected, bytes that the records hold)."""
    settings = CorpusSettings(sources=list(sources))
    records = [record for source in settings.sources for record in open_records(source)]
    return expected_bytes(settings.sources), sum(len(record.payload) for record in records)


def test_files_and_folders_and_repositories_and_distributions_are_counted_exactly(
    notes: Callable[..., Path],
) -> None:
    folder = notes({"a.txt": "some words", "b/c.md": "# More\n", "left.out": "not read"})
    for command in ("init -q", "add -A", "-c user.name=t -c user.email=t@localhost commit -qm t"):
        subprocess.run(["git", "-C", str(folder), *command.split()], check=True)
    for source in (
        {"kind": "folder", "path": folder},
        {"kind": "git", "path": folder},
        {"kind": "distributions", "names": ["click"]},
    ):
        expected, read = sizes(source)
        assert expected == read > 0


def test_rows_are_counted_as_large_as_they_are_uncompressed(notes: Callable[..., Path]) -> None:
    lines = "".join(json.dumps({"text": f"row {number} " * 20}) + "\n" for number in range(200))
    folder = notes({"a.jsonl": lines, "b.jsonl.gz": gzip.compress(lines.encode())})
    for name in ("a.jsonl", "b.jsonl.gz"):
        assert sizes({"kind": "files", "path": f"{folder}/{name}"})[0] == len(lines)
    text = [f"row {number} " * 20 for number in range(200)]
    table = pa.table({"text": text, "unread": [one * 9 for one in text]})
    pq.write_table(table, folder / "c.parquet", use_dictionary=False)
    expected, read = sizes({"kind": "files", "path": f"{folder}/c.parquet"})
    assert 0.7 < expected / read < 1.3


def test_a_stream_from_the_hub_has_no_known_size(notes: Callable[..., Path]) -> None:
    folder = notes({"train.jsonl": '{"text": "a"}\n'})
    assert sizes({"kind": "hub", "name": str(folder)})[0] is None

"""No input crashes, hangs or fills the memory, and none is lost without a word.

Every damaged input of :mod:`hostile` must either stop with an error that names the file, or have all
its rows and files accounted for: as a document, or as malformed for a reason that is listed.
"""

from __future__ import annotations

import os
import tracemalloc
from collections import Counter
from pathlib import Path

import pytest
from hostile import KINDS
from hostile.case import MAX_BYTES, VARIANTS

from revela.corpus.schema import MALFORMED_REASONS, Document, Malformed
from revela.corpus.sources import check_sources, open_source
from revela.errors import RevelaError
from revela.settings import CorpusSettings, FilesSource, FolderSource, Source


@pytest.mark.parametrize("variant", range(VARIANTS))
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.timeout(60)
def test_everything_is_accounted_for(kind: str, variant: int, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    case = KINDS[kind](folder, variant)
    if case.stops is not None:
        with pytest.raises(RevelaError, match=case.stops):
            read(case.source)
        return
    rows = read(case.source)
    bad = [row for row in rows if isinstance(row, Malformed)]
    assert {row.reason for row in bad} <= MALFORMED_REASONS
    assert all(row.file and row.what for row in bad)
    assert (len(rows) - len(bad), len(bad)) == (case.good, case.bad), bad
    assert all(row.text.strip() for row in rows if isinstance(row, Document))
    # Whatever came out can be stored.
    repr(rows).encode("utf-8")


def read(source: Source) -> list[Document | Malformed]:
    check_sources(CorpusSettings(sources=[source]))
    return list(open_source(source, MAX_BYTES))


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_a_line_of_100_megabytes_is_never_in_memory(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    first, last = (b'{"text": "a"}', b'{"text": "b"}') if suffix == "jsonl" else (b"text\na", b"b")
    with open(path, "wb") as file:
        file.write(first + b"\n")
        file.seek(100_000_000, os.SEEK_CUR)
        file.write(b"\n" + last + b"\n")
    found, peak = measured(FilesSource(kind="files", path=str(path)))
    assert found == {"a": 1, "too_large": 1, "b": 1}
    assert peak < 8_000_000


def test_a_quote_left_open_does_not_fill_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'text\n"' + b"\n" * 200_000 + b"a line\n" * 10)
    found, peak = measured(FilesSource(kind="files", path=str(path)))
    assert found == {"too_large": 1, "a line": 10}
    assert peak < 8_000_000


def test_a_folder_is_not_read_ahead(tmp_path: Path) -> None:
    for number in range(200):
        (tmp_path / f"{number % 20}").mkdir(exist_ok=True)
        (tmp_path / f"{number % 20}" / f"{number}.txt").write_bytes(b"x" * 200_000)
    found, peak = measured(FolderSource(kind="folder", path=tmp_path))
    assert found == {"x" * 50: 200}
    assert peak < 2_000_000


def measured(source: Source) -> tuple[Counter[str], int]:
    """How often each text's beginning, or reason, and the most bytes that Python held at once."""
    tracemalloc.start()
    try:
        rows = open_source(source, 1_000_000)
        found = Counter(row.text[:50] if isinstance(row, Document) else row.reason for row in rows)
        return found, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

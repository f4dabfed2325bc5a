"""CSV and TSV: quotes, separators and line ends in fields; a bad row costs itself only."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from opened import checked, documents, faults

from revela.corpus.schema import Document
from revela.corpus.sources import open_source
from revela.errors import RevelaError
from revela.settings import FilesSource

Notes = Callable[..., Path]


def source(folder: Path, name: str = "a.csv", **rest: object) -> FilesSource:
    return FilesSource(kind="files", path=f"{folder}/{name}", **rest)


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.csv.gz", "a.tsv.gz"])
def test_what_a_csv_writer_wrote_is_read_back(notes: Notes, name: str) -> None:
    texts = ['a "quoted" word', "two\nlines, and a comma", "a\ttab", "naïve 😀", " spaces "]
    written = io.StringIO()
    rows = csv.writer(written, delimiter="\t" if ".tsv" in name else ",")
    rows.writerow(["_id", "title", "text", "other"])
    rows.writerows([number, f"T{number}", text, "x" * number] for number, text in enumerate(texts))
    raw = b"\xef\xbb\xbf" + written.getvalue().encode()
    folder = notes({name: gzip.compress(raw) if name.endswith(".gz") else raw})
    found = documents(source(folder, name, metadata_fields=["other"]))
    assert [row.text for row in found] == texts
    assert (found[2].id, found[2].title, found[2].metadata) == ("2", "T2", '{"other": "xx"}')


def test_rows_are_called_by_the_line_they_begin_on(notes: Notes) -> None:
    folder = notes({"a.csv": 'text\none\n"two\nlines"\n\nfive\n'})
    assert [row.id for row in documents(source(folder))] == ["a.csv#2", "a.csv#3", "a.csv#6"]


def test_too_many_and_too_few_fields_are_named(notes: Notes) -> None:
    folder = notes({"a.csv": "_id,text\n1,a\n2\n3,b,c\n4,d\n"})
    assert faults(source(folder)) == [("a.csv:3", "wrong_columns"), ("a.csv:4", "wrong_columns")]
    assert [row.id for row in open_source(source(folder)) if isinstance(row, Document)] == ["1", "4"]


def test_a_quote_that_is_not_closed_costs_its_line_only(notes: Notes) -> None:
    folder = notes({"a.csv": '_id,text\n1,a\n2,"b\n3,c\n4,d\n'})
    assert faults(source(folder)) == [("a.csv:3", "bad_csv")]
    assert [row.id for row in open_source(source(folder)) if isinstance(row, Document)] == ["1", "3", "4"]


def test_a_quote_that_is_not_closed_does_not_swallow_a_long_file(notes: Notes) -> None:
    folder = notes({"a.csv": '_id,text\n1,"a\n' + "2,b\n" * 1000})
    first, *rest = open_source(source(folder), 400)
    assert (first.place, first.reason) == ("a.csv:2", "too_large")  # type: ignore[union-attr]
    assert "lines 2 to 101; is a quote not closed?" in first.what  # type: ignore[union-attr]
    assert len(rest) == 1000 - 99 and all(isinstance(row, Document) for row in rest)


def test_text_behind_a_closing_quote_is_named(notes: Notes) -> None:
    folder = notes({"a.csv": '_id,text\n1,"a" b\n2,c\n'})
    assert faults(source(folder)) == [("a.csv:2", "bad_csv")]


def test_bytes_that_are_not_text_are_named(notes: Notes) -> None:
    folder = notes({"a.csv": b"_id,text\n1,caf\xe9\n2,a\0b\n3,c\n"})
    assert faults(source(folder)) == [("a.csv:2", "bad_encoding"), ("a.csv:3", "binary")]


def test_without_quoting_a_quote_is_a_character(notes: Notes) -> None:
    folder = notes({"a.tsv": '_id\ttext\n1\t"a" b\n2\t"c\n'})
    assert [row.text for row in documents(source(folder, "a.tsv", quoting=False))] == ['"a" b', '"c']


def test_a_missing_column_is_named_before_work_starts(notes: Notes) -> None:
    folder = notes({"a.csv": "body,n\na,1\n", "b.csv": '"body\n' + "x" * 2_000_000})
    with pytest.raises(RevelaError, match=r"a\.csv: no column 'text'.*one of: body, n"):
        checked(source(folder))
    with pytest.raises(RevelaError, match=r"b\.csv:1: the header cannot be read"):
        checked(source(folder, "b.csv"))

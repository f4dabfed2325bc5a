"""Rows of CSV and TSV files in bounded memory, each either whole or named with what is wrong."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from revela.corpus.sources.reading import Line, read_lines, too_large
from revela.corpus.sources.rows import Columns, Row, payload_of_row
from revela.errors import RevelaError

_HEADER_BYTES = 1_000_000

# Lines of one row: an empty one takes 1 byte of the file, but 100 of memory.
_LINES_AT_MOST = 20_000


class _TooLargeError(Exception):
    pass


class _Feed:
    """Lines for :func:`csv.reader`; those of the present row are kept, so that reading can step back."""

    def __init__(self, lines: Iterator[Line], max_bytes: int) -> None:
        self._lines = lines
        self._again: deque[Line] = deque()
        self._max_bytes = max_bytes
        self.begin()

    def begin(self) -> None:
        """Forget the lines of the row before."""
        self.row: list[Line] = []
        self.length = 0
        self.bad_encoding = ""

    def step_back(self) -> None:
        """Read everything behind the row's first line again."""
        self._again.extendleft(reversed(self.row[1:]))

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._lines)
        self.row.append(line)
        self.length += line.length
        if self.length > self._max_bytes or len(self.row) > _LINES_AT_MOST:
            raise _TooLargeError
        try:
            return line.raw.decode("utf-8-sig" if line.number == 1 else "utf-8")
        except UnicodeDecodeError as fault:
            where = f"byte 0x{line.raw[fault.start]:02x} at byte {fault.start} of line {line.number}"
            self.bad_encoding = f"not UTF-8: {where}"
            return line.raw.decode("utf-8", "replace")


def check_header(path: Path, columns: Columns, quoting: bool) -> None:
    """Raise :class:`RevelaError` when the first line lacks `text_field` or has a wanted column twice.

    An empty file has no header, and is no error here.
    """
    first = next(_split(path, _HEADER_BYTES, quoting), None)
    if first is None:
        return
    _, fields, fault = first
    if fault is not None:
        raise RevelaError(f"corpus.sources: {path}:1: the header cannot be read: {fault[1]}")
    columns.check(fields, str(path), " in its first line")


def csv_rows(path: Path, columns: Columns, max_bytes: int, quoting: bool) -> Iterator[Row]:
    """Rows behind the header; tabs separate fields in ``.tsv`` files, commas in others.

    Args:
        quoting: fields may stand in double quotes, and then hold separators and line ends (RFC 4180).
            A quote that is never closed costs its own line only: reading goes on behind that line. One
            that is not closed for `max_bytes`, or 20 000 lines, costs all of them.

    Raises:
        RevelaError: as :func:`revela.corpus.sources.reading.read_lines`.
    """
    rows = _split(path, max_bytes, quoting)
    header = next(rows, (0, [], None))[1]
    wanted = [(header.index(name), name) for name in header if name in columns.wanted()]
    for line, fields, fault in rows:
        if fault is None and len(fields) != len(header):
            fault = ("wrong_columns", f"{len(fields)} fields, but the header has {len(header)}")
        if fault is not None:
            yield Row(line, b"", fault)
        else:
            yield payload_of_row(line, {name: fields[at] for at, name in wanted}, columns, max_bytes)


def _split(
    path: Path, max_bytes: int, quoting: bool
) -> Iterator[tuple[int, list[str], tuple[str, str] | None]]:
    """Rows as (first line, fields, fault), the header among them; blank lines are passed over."""
    # The limit is the process's, and lower than ours at first.
    csv.field_size_limit(max(csv.field_size_limit(), max_bytes))
    feed = _Feed(read_lines(path, max_bytes), max_bytes)

    def reader() -> Iterator[list[str]]:
        return csv.reader(
            feed,
            delimiter="\t" if path.name.lower().removesuffix(".gz").endswith(".tsv") else ",",
            quoting=csv.QUOTE_MINIMAL if quoting else csv.QUOTE_NONE,
            strict=True,
        )

    rows = reader()
    while True:
        feed.begin()
        fields: list[str] = []
        fault = None
        try:
            fields = next(rows)
        except StopIteration:
            return
        except _TooLargeError:
            reason, what = too_large(feed.length, max_bytes)
            if feed.length <= max_bytes:
                what = f"a row of more than {_LINES_AT_MOST} lines"
            fault = (reason, f"{what}: lines {_span(feed)}; is a quote not closed?")
            rows = reader()
        except csv.Error as error:
            fault = ("bad_csv", f"{error} (lines {_span(feed)}); is a quote not closed?")
            feed.step_back()
            rows = reader()
        if fault is None and feed.bad_encoding:
            fault = ("bad_encoding", feed.bad_encoding)
        if fields or fault is not None:
            yield feed.row[0].number, fields, fault


def _span(feed: _Feed) -> str:
    return f"{feed.row[0].number} to {feed.row[-1].number}"

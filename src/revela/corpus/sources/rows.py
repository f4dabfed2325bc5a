"""From a row to its document, for every source whose documents are rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from revela.corpus.schema import Document, Malformed, Record, kind_of
from revela.corpus.sources.reading import too_large
from revela.corpus.sources.text import UnreadableError, decode, malformed, readable
from revela.errors import RevelaError
from revela.settings import FilesSource, HubSource


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column holds what. The names are those of the settings."""

    text: str
    id: str | None
    title: str | None
    metadata: tuple[str, ...]
    kind: str
    kind_field: str | None = None

    @classmethod
    def of(cls, settings: FilesSource | HubSource) -> Columns:
        """Those that a source's settings name."""
        return cls(
            text=settings.text_field,
            id=settings.id_field,
            title=settings.title_field,
            metadata=tuple(settings.metadata_fields),
            kind=settings.document_kind,
            kind_field=settings.document_kind_field if isinstance(settings, FilesSource) else None,
        )

    def wanted(self) -> set[str]:
        """Every column that is read."""
        return {self.text, *self.metadata, *filter(None, (self.id, self.title, self.kind_field))}

    def check(self, found: Sequence[str], where: str, header: str = "") -> None:
        """Raise :class:`RevelaError` when the text has no column, or a wanted column is there twice.

        Args:
            found: names of all columns.
            where: whose columns they are.
            header: where their names stand, where they might not be names at all.
        """
        if self.text not in found:
            raise RevelaError(
                f"corpus.sources: {where}: no column '{self.text}'{header}. "
                f"Set `text_field` to one of: {', '.join(found)[:300]}."
            )
        twice = sorted(name for name in self.wanted() if found.count(name) > 1)
        if twice:
            raise RevelaError(
                f"corpus.sources: {where}: more than one column '{twice[0]}'. Rename one of them."
            )


class Row(NamedTuple):
    """A row as it was read; the fields are those of :class:`revela.corpus.schema.Record`."""

    line: int
    payload: bytes
    fault: tuple[str, str] | None


def payload_of_row(line: int, row: dict[str, Any], columns: Columns, max_bytes: int) -> Row:
    """The row as JSON, or its fault. Dates, decimals and bytes of metadata are spelled out.

    The text's type is checked here: what is no string would become one in JSON.
    """
    text = row.get(columns.text)
    if text is not None and not isinstance(text, str):
        return Row(
            line, b"", ("wrong_type", f"field '{columns.text}' is {type(text).__name__}, not a string")
        )
    try:
        payload = json.dumps(row, default=str, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as fault:
        return Row(line, b"", ("bad_json", f"cannot be kept as JSON: {fault}"))
    if len(payload) > max_bytes:
        return Row(line, b"", too_large(len(payload), max_bytes))
    return Row(line, payload, None)


def document_of_row(record: Record, columns: Columns, unnamed: str) -> Document | Malformed:
    """The document of one row; without an id it is called ``<unnamed>#<line>``."""
    if record.fault is not None:
        return malformed(record, *record.fault)
    try:
        row = _parse(record.payload)
        text = text_of_row(row, columns.text)
        document = Document(
            id=label_of_row(row, columns.id) or f"{unnamed}#{record.line}",
            title=label_of_row(row, columns.title),
            text=text,
            source=record.source,
            kind=_kind(row, columns),
            metadata=_metadata(row, columns.metadata),
        )
        document = readable(document)
        if not document.text.strip():
            raise UnreadableError("empty_text", f"the HTML in field '{columns.text}' has no text")
        return document
    except UnreadableError as fault:
        return malformed(record, fault.reason, fault.what)


def text_of_row(row: dict[str, Any], field: str) -> str:
    """The text of a row's field.

    Raises:
        UnreadableError: ``missing_field``, ``wrong_type``, ``empty_text``, ``binary`` or ``bad_encoding``.
    """
    if field not in row or row[field] is None:
        found = ", ".join(map(str, row)) or "none"
        raise UnreadableError("missing_field", f"no field '{field}' (fields: {found[:200]})")
    text = row[field]
    if not isinstance(text, str):
        raise UnreadableError("wrong_type", f"field '{field}' is {type(text).__name__}, not a string")
    if not text.strip():
        raise UnreadableError("empty_text", f"field '{field}' is empty")
    if "\0" in text:
        raise UnreadableError("binary", f"zero character in field '{field}'")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as fault:
        # JSON may spell half of a surrogate pair; no encoding can store it.
        raise UnreadableError("bad_encoding", f"lone surrogate in field '{field}' at {fault.start}") from None
    return text


def label_of_row(row: dict[str, Any], field: str | None) -> str:
    """An id or title as text; empty where the row has none."""
    value = row.get(field) if field is not None else None
    if not isinstance(value, str | int):
        return ""
    return str(value).encode("utf-8", errors="replace").decode("utf-8")


def _parse(raw: bytes) -> dict[str, Any]:
    try:
        # JSON has no NaN: where a program wrote one all the same, it means that there is no value.
        row = json.loads(decode(raw), parse_constant=lambda _: None)
    except (ValueError, RecursionError) as fault:
        raise UnreadableError("bad_json", f"not JSON: {fault}") from None
    if not isinstance(row, dict):
        raise UnreadableError("not_an_object", f"a JSON {type(row).__name__}, not an object")
    return row


def _metadata(row: dict[str, Any], fields: Iterable[str]) -> str:
    try:
        return json.dumps({field: row[field] for field in fields if field in row}, allow_nan=False)
    except (ValueError, RecursionError) as fault:
        raise UnreadableError("bad_json", f"metadata cannot be kept as JSON: {fault}") from None


def _kind(row: dict[str, Any], columns: Columns) -> str:
    """What the row's own column says, as a name or a suffix; else the kind of all rows."""
    value = row.get(columns.kind_field) if columns.kind_field is not None else None
    said = value if isinstance(value, str) and value.strip() else columns.kind
    return kind_of("." + said.strip().removeprefix("."))

"""From bytes to text, or to the reason why not; from a file's record to its document."""

from __future__ import annotations

import codecs
import json
from dataclasses import replace
from typing import Any

from revela.corpus.schema import Document, Malformed, Record, kind_of
from revela.corpus.sources.web_page import TooDeepError, declared_encoding, text_of_page

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class UnreadableError(Exception):
    """A text could not be had. `reason` is a stable code, `what` is for a reader."""

    def __init__(self, reason: str, what: str) -> None:
        super().__init__(what)
        self.reason = reason
        self.what = what


def decode(raw: bytes) -> str:
    """Bytes as text, a byte order mark left out and everything else kept.

    The encoding is UTF-8, or UTF-16 where a byte order mark says so, as Windows programs write it.

    Raises:
        UnreadableError: ``binary`` (a zero byte) or ``bad_encoding`` (neither UTF-8 nor UTF-16).
    """
    if raw.startswith(_UTF_16) and not raw.startswith(codecs.BOM_UTF32_LE):
        return _decode_utf_16(raw)
    if b"\0" in raw:
        raise UnreadableError("binary", f"zero byte at byte {raw.index(0)}: not a text")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        raise UnreadableError(
            "bad_encoding", f"not UTF-8: byte 0x{raw[fault.start]:02x} at byte {fault.start}"
        ) from None


def _decode_utf_16(raw: bytes) -> str:
    try:
        text = raw.decode("utf-16")
    except UnicodeDecodeError as fault:
        raise UnreadableError(
            "bad_encoding", f"not UTF-16, as its byte order mark says: {fault.reason} at byte {fault.start}"
        ) from None
    if "\0" in text:
        raise UnreadableError("binary", f"zero character at {text.index(chr(0))}: not a text")
    return text


def _decode_page(raw: bytes) -> str:
    """As :func:`decode`; what is not UTF-8 is decoded as the page itself says."""
    try:
        return decode(raw)
    except UnreadableError as fault:
        encoding = declared_encoding(raw)
        if fault.reason != "bad_encoding" or encoding is None:
            raise
        try:
            return raw.decode(encoding)
        except (UnicodeDecodeError, LookupError):
            raise fault from None


def document_of_file(
    record: Record, title: str, suffix: str, metadata: dict[str, Any]
) -> Document | Malformed:
    """A whole file's document; its id is the record's file. HTML is turned into text.

    Args:
        title: title where the text does not give a better one.
        suffix: the file's suffix with its dot, which tells the kind.
        metadata: what else is known of it, JSON types only.
    """
    if record.fault is not None:
        return malformed(record, *record.fault)
    try:
        kind = kind_of(suffix)
        text = _decode_page(record.payload) if kind == "html" else decode(record.payload)
        document = Document(record.file, title, text, record.source, kind, json.dumps(metadata))
        return readable(document)
    except UnreadableError as fault:
        return malformed(record, fault.reason, fault.what)


def readable(document: Document) -> Document:
    """The document itself, or for HTML its main text, its own title, and the format in the metadata.

    Raises:
        UnreadableError: ``bad_html``.
    """
    if document.kind != "html":
        return document
    try:
        title, text = text_of_page(document.text)
    except TooDeepError as fault:
        raise UnreadableError("bad_html", str(fault)) from None
    metadata = json.dumps({**json.loads(document.metadata), "format": "html"})
    return replace(document, title=title or document.title, text=text, kind="text", metadata=metadata)


def malformed(record: Record, reason: str, what: str) -> Malformed:
    """The record as one that cannot become a document."""
    return Malformed(record.file, record.line, reason, what, record.source)

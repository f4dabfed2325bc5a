"""From bytes or a row's value to text, or to the reason why not."""

from __future__ import annotations

from typing import Any


class UnreadableError(Exception):
    """A text could not be had. `reason` is a stable code, `what` is for a reader."""

    def __init__(self, reason: str, what: str) -> None:
        super().__init__(what)
        self.reason = reason
        self.what = what


def decode(raw: bytes) -> str:
    """Bytes as UTF-8 text, a byte order mark left out and everything else kept.

    Raises:
        UnreadableError: ``binary`` (a zero byte) or ``bad_encoding`` (not UTF-8).
    """
    if b"\0" in raw:
        raise UnreadableError("binary", f"zero byte at byte {raw.index(0)}: not a text")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        raise UnreadableError(
            "bad_encoding", f"not UTF-8: byte 0x{raw[fault.start]:02x} at byte {fault.start}"
        ) from None


def text_of_row(row: dict[str, Any], field: str) -> str:
    """The text of a row's field.

    Raises:
        UnreadableError: ``missing_field``, ``wrong_type``, ``empty_text``, ``binary`` or ``bad_encoding``.
    """
    if field not in row or row[field] is None:
        found = ", ".join(map(str, row)) or "none"
        raise UnreadableError("missing_field", f"no field '{field}' (fields: {found})")
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

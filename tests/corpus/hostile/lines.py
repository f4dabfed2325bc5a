"""Files of JSON lines with one damaged among good ones, or damaged as a whole."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from hostile.case import GOOD, MAX_BYTES, VARIANTS, Case, stop
from revela.settings import FilesSource


def _jsonl(folder: Path, variant: int, line: bytes) -> Case:
    """The damaged line among good ones, at another place in every variant."""
    # An array on the first line is taken for a file that is one array: see `json_array`.
    at = VARIANTS - variant if line.startswith(b"[") else variant
    lines = [*GOOD[:at], line, *GOOD[at:]]
    (folder / "a.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    return Case(FilesSource(kind="files", path=f"{folder}/a.jsonl"), good=len(GOOD), bad=1)


def cut_json(folder: Path, variant: int) -> Case:
    return _jsonl(folder, variant, GOOD[0][: 5 * variant + 1])


def bytes_not_utf_8(folder: Path, variant: int) -> Case:
    broken = [b"\xff", b"caf\xe9", b"\xc3\x28", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80"][variant]
    return _jsonl(folder, variant, b'{"text": "' + broken + b'"}')


def zero_bytes(folder: Path, variant: int) -> Case:
    line = [b"\0", b"\0" * 5000, b'{"text": "a\0b"}', b'{"text": "a\\u0000"}', b'{"te\0xt": "a"}'][variant]
    return _jsonl(folder, variant, line)


def long_line(folder: Path, variant: int) -> Case:
    return _jsonl(folder, variant, b'{"text": "' + b"x" * (MAX_BYTES << variant) + b'"}')


def nested_text(folder: Path, variant: int) -> Case:
    text = [{"a": "b"}, ["a"], {"text": {"text": "a"}}, [["a"]], [{"text": "a"}]][variant]
    return _jsonl(folder, variant, json.dumps({"text": text}).encode())


def wrong_type(folder: Path, variant: int) -> Case:
    return _jsonl(folder, variant, json.dumps({"text": [5, 1.5, True, None, []][variant]}).encode())


def deep_json(folder: Path, variant: int) -> Case:
    line = [
        b"[" * 9000,
        b"[" * 9000 + b"]" * 9000,
        b'{"a":' * 3000,
        b'{"text": ' + b"[" * 9000 + b"]" * 9000 + b"}",
        b'{"text": "a", "b": ' + b'{"a":' * 3000 + b"1" + b"}" * 3000 + b"}",
    ][variant]
    return _jsonl(folder, variant, line)


def missing_field(folder: Path, variant: int) -> Case:
    row = [{}, {"body": "a"}, {"Text": "a"}, {"text ": "a"}, {"": "a"}][variant]
    return _jsonl(folder, variant, json.dumps(row).encode())


def no_object(folder: Path, variant: int) -> Case:
    return _jsonl(folder, variant, [b'["text"]', b'"text"', b"5", b"null", b"NaN"][variant])


def no_json(folder: Path, variant: int) -> Case:
    two = b'{"text": "a"}\r{"text": "b"}'
    line = [b"text", b"{'text': 'a'}", b'{"text": "a"},', two, b"\xef\xbb\xbf"][variant]
    return _jsonl(folder, variant, line)


def half_characters(folder: Path, variant: int) -> Case:
    spelled = [b"\\ud83e", b"a\\udd14", b"\\udd14\\ud83e", b"\\ud800a", b"\\udfff\\udfff"][variant]
    return _jsonl(folder, variant, b'{"text": "' + spelled + b'"}')


def blank_text(folder: Path, variant: int) -> Case:
    text = ["", " ", "\n\t\r\n", "\u00a0", "\u2003\u3000"][variant]
    return _jsonl(folder, variant, json.dumps({"text": text}).encode())


def endless_number(folder: Path, variant: int) -> Case:
    number = [b"9" * 5000, b"-" + b"9" * 5000, b"1e", b"0x10", b"1" * 4301][variant]
    return _jsonl(folder, variant, b'{"text": "a", "n": ' + number + b"}")


def empty_rows_file(folder: Path, variant: int) -> Case:
    (folder / "b.jsonl").write_bytes([b"", b"\n", b" \n\t\n", b"\r\n" * 100, b"\n" * 5000][variant])
    (folder / "a.jsonl").write_bytes(b"\n".join(GOOD))
    return Case(FilesSource(kind="files", path=f"{folder}/*.jsonl"), good=len(GOOD), bad=1)


def json_array(folder: Path, variant: int) -> Case:
    beginning = [b"[", b"\n\n[", b"\xef\xbb\xbf[", b"  [", b"[\n"][variant]
    return stop(folder, "a.json", beginning + b",".join(GOOD) + b"]")


def utf_16_lines(folder: Path, variant: int) -> Case:
    text = b"\n".join(GOOD).decode()
    encoded = [
        text.encode("utf-16"),
        b"\xfe\xff" + text.encode("utf-16-be"),
        b"\xff\xfe",
        text.encode("utf-16")[:-1],
        gzip.compress(text.encode("utf-16")),
    ][variant]
    return stop(folder, "a.jsonl.gz" if variant == 4 else "a.jsonl", encoded)


KINDS = (
    cut_json,
    bytes_not_utf_8,
    zero_bytes,
    long_line,
    nested_text,
    wrong_type,
    deep_json,
    missing_field,
    no_object,
    no_json,
    half_characters,
    blank_text,
    endless_number,
    empty_rows_file,
    json_array,
    utf_16_lines,
)

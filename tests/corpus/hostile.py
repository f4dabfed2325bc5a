"""Damaged inputs of many kinds, each with what is to become of it: five variants of every kind."""

from __future__ import annotations

import gzip
import io
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from revela.settings import FilesSource, FolderSource, Source, StackExchangeSource

VARIANTS = 5
MAX_BYTES = 20_000


@dataclass(frozen=True)
class Case:
    """A damaged input.

    Attributes:
        source: how it is read.
        good: rows or files that must come out as documents.
        bad: rows or files that must be named as malformed.
        stops: the file that an error must name, where reading must stop instead.
    """

    source: Source
    good: int = 0
    bad: int = 0
    stops: str | None = None


GOOD = [
    json.dumps({"_id": str(number), "text": f"text {number} " * 3}).encode() for number in range(VARIANTS)
]


def _jsonl(folder: Path, variant: int, line: bytes) -> Case:
    """The damaged line among good ones, at another place in every variant."""
    # An array on the first line is taken for a file that is one array: see `json_array`.
    at = VARIANTS - variant if line.startswith(b"[") else variant
    lines = [*GOOD[:at], line, *GOOD[at:]]
    (folder / "a.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    return Case(FilesSource(kind="files", path=f"{folder}/a.jsonl"), good=len(GOOD), bad=1)


def _stop(folder: Path, name: str, content: bytes) -> Case:
    (folder / name).write_bytes(content)
    return Case(FilesSource(kind="files", path=f"{folder}/{name}"), stops=name)


def _folder(folder: Path, bad: int, good: int = 1) -> Case:
    (folder / "good.txt").write_text("good")
    return Case(FolderSource(kind="folder", path=folder), good=good, bad=bad)


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
    return _stop(folder, "a.json", beginning + b",".join(GOOD) + b"]")


def utf_16_lines(folder: Path, variant: int) -> Case:
    text = b"\n".join(GOOD).decode()
    encoded = [
        text.encode("utf-16"),
        b"\xfe\xff" + text.encode("utf-16-be"),
        b"\xff\xfe",
        text.encode("utf-16")[:-1],
        gzip.compress(text.encode("utf-16")),
    ][variant]
    return _stop(folder, "a.jsonl.gz" if variant == 4 else "a.jsonl", encoded)


def _compressed() -> bytes:
    lines = [json.dumps({"text": f"{n * 7919 % 10007} {n * n % 9973}"}).encode() for n in range(20_000)]
    return gzip.compress(b"\n".join(lines), mtime=0)


def cut_gzip(folder: Path, variant: int) -> Case:
    whole = _compressed()
    return _stop(folder, "a.jsonl.gz", whole[: [5, 12, len(whole) // 2, -9, -1][variant]])


def damaged_gzip(folder: Path, variant: int) -> Case:
    raw = bytearray(_compressed())
    at = [20, len(raw) // 3, len(raw) // 2, len(raw) - 20, len(raw) - 6][variant]
    raw[at] ^= 0xFF
    return _stop(folder, "a.jsonl.gz", bytes(raw))


def no_gzip(folder: Path, variant: int) -> Case:
    content = [
        b"\n".join(GOOD),
        b"PK\x03\x04" + bytes(100),
        b"\x1f\x8b",
        b"\x1f\x8b\x08" + bytes(50),
        bytes(9),
    ]
    return _stop(folder, "a.jsonl.gz", content[variant])


def gzip_bomb(folder: Path, variant: int) -> Case:
    lines = (b" " * 65535 + b"\n") * 16
    unit = [bytes(1 << 20), b" " * (1 << 20), lines, b"[" * (1 << 20), lines]
    name = "a.csv.gz" if variant == 4 else "a.jsonl.gz"
    start = gzip.compress(b"text\n" if variant == 4 else GOOD[0] + b"\n")
    return _stop(folder, name, start + gzip.compress(unit[variant]) * 110)


def _parquet(table: pa.Table) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file, compression="gzip", use_dictionary=False)
    return file.getvalue()


def cut_parquet(folder: Path, variant: int) -> Case:
    whole = _parquet(pa.table({"text": [str(number * 7919) for number in range(5000)]}))
    return _stop(folder, "a.parquet", whole[: [0, 4, len(whole) // 2, -8, -1][variant]])


def damaged_parquet(folder: Path, variant: int) -> Case:
    raw = bytearray(_parquet(pa.table({"text": [f"{number * 7919 % 10007}" for number in range(20_000)]})))
    at = len(raw) // 10 * (2 + variant)
    raw[at : at + 1000] = bytes(1000)
    return _stop(folder, "a.parquet", bytes(raw))


def parquet_values(folder: Path, variant: int) -> Case:
    column, bad = [
        (pa.array(["a", None, "b"]), 1),
        (pa.array([b"a", b"\xff", b"b"]).view(pa.string()), 1),
        (pa.array([1, 2, 3]), 3),
        (pa.array([["a"], [], ["b"]]), 3),
        (pa.array(["a", "x" * MAX_BYTES, " "]), 2),
    ][variant]
    (folder / "a.parquet").write_bytes(_parquet(pa.table({"text": column})))
    return Case(FilesSource(kind="files", path=f"{folder}/a.parquet"), good=3 - bad, bad=bad)


def missing_column(folder: Path, variant: int) -> Case:
    if variant == 0:
        return _stop(folder, "a.parquet", _parquet(pa.table({"body": ["a"]})))
    header = [b"", b"body\n", b"Text,text \n", b"text,text\n", b'"text\n'][variant]
    return _stop(folder, "a.csv", header + b"a,b\n")


def csv_quotes(folder: Path, variant: int) -> Case:
    bad = ['9,"open', '9,"open ""still', '9,"a" b', '9,"a"b"', '"9,open'][variant]
    rows = [f"{number},text" for number in range(VARIANTS)]
    (folder / "a.csv").write_text("\n".join(["_id,text", *rows[:variant], bad, *rows[variant:]]) + "\n")
    return Case(FilesSource(kind="files", path=f"{folder}/a.csv"), good=len(rows), bad=1)


def csv_fields(folder: Path, variant: int) -> Case:
    bad = [b"9", b"9,a,b", b"9,caf\xe9", b"9,a\0b", b"9," + b"x" * MAX_BYTES][variant]
    rows = [b"%d,text" % number for number in range(VARIANTS)]
    name = "a.csv.gz" if variant % 2 else "a.csv"
    raw = b"\r\n".join([b"_id,text", *rows[:variant], bad, *rows[variant:]])
    (folder / name).write_bytes(gzip.compress(raw) if variant % 2 else raw)
    return Case(FilesSource(kind="files", path=f"{folder}/{name}"), good=len(rows), bad=1)


def binary_file(folder: Path, variant: int) -> Case:
    content = [b"\x89PNG\r\n\x1a\n\0\0", b"\x7fELF\x02\0", bytes(100), gzip.compress(b"a"), b"a\0"][variant]
    (folder / "bad.txt").write_bytes(content)
    return _folder(folder, bad=1)


def broken_utf_16_file(folder: Path, variant: int) -> Case:
    content = [
        b"\xff\xfea",
        b"\xfe\xff\xd8\x00",
        b"\xff\xfe\0\0",
        b"\xff\xfe\0\0a\0\0\0",
        b"\xff\xfe\0\xd8a\0",
    ]
    (folder / "bad.txt").write_bytes(content[variant])
    return _folder(folder, bad=1)


def huge_file(folder: Path, variant: int) -> Case:
    with open(folder / f"bad.{['txt', 'md', 'rst', 'py', 'html'][variant]}", "wb") as file:
        file.truncate([MAX_BYTES + 1, 1 << 30, 1 << 34, 1 << 40, 1 << 42][variant])
    return _folder(folder, bad=1)


def link_loops(folder: Path, variant: int) -> Case:
    """Loops of one to five links, and as many to the folder above."""
    for number in range(variant + 1):
        (folder / f"loop{number}.txt").symlink_to(f"loop{(number + 1) % (variant + 1)}.txt")
        (folder / f"up{number}").symlink_to("..")
    return _folder(folder, bad=variant + 1)


def links_astray(folder: Path, variant: int) -> Case:
    target = ["nowhere", "/nowhere/at/all", "../nowhere", "good.txt/below", "x" * 200][variant]
    (folder / "bad.txt").symlink_to(target)
    return _folder(folder, bad=1)


def no_files(folder: Path, variant: int) -> Case:
    """What has a wanted suffix but is no file is passed over."""
    [
        lambda: os.mkfifo(folder / "bad.txt"),
        lambda: (folder / "bad.txt").mkdir(),
        lambda: (folder / "bad.txt").symlink_to("/dev/zero"),
        lambda: (folder / "bad.txt").symlink_to("."),
        lambda: (folder / "bad.txt").symlink_to("/dev/null"),
    ][variant]()
    return _folder(folder, bad=0)


def odd_names(folder: Path, variant: int) -> Case:
    name = [b"\xff", b"caf\xe9", b"\n", b" ", b"\x01\x7f\xc3\x28"][variant]
    (folder / os.fsdecode(b"a" + name + b".txt")).write_text("good too")
    return _folder(folder, bad=0, good=2)


def deep_html(folder: Path, variant: int) -> Case:
    tag = ["<div>", "<b>", "<ul><li>", "<svg><g>", "<font color=x>"][variant]
    (folder / "bad.html").write_text(tag * (MAX_BYTES // len(tag)))
    return _folder(folder, bad=1)


def _posts(folder: Path, line: str, at: int) -> StackExchangeSource:
    rows = [f'<row Id="{number}" PostTypeId="1" Body="text" />' for number in range(VARIANTS)]
    lines = ['<?xml version="1.0"?>', "<posts>", *rows, "</posts>"]
    (folder / "Posts.xml").write_text("\n".join([*lines[:at], line, *lines[at:]]))
    return StackExchangeSource(kind="stackexchange", path=folder, unit="post")


def entity_bomb(folder: Path, variant: int) -> Case:
    bomb = [
        '<!DOCTYPE p [<!ENTITY a "aa"><!ENTITY b "&a;&a;&a;&a;">]>',
        '<!DOCTYPE p SYSTEM "http://example.org/p.dtd">',
        '<!DOCTYPE p [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
        "<!DOCTYPE p [",
        '<!ENTITY a "aa">',
    ][variant]
    return Case(_posts(folder, bomb, variant), stops="Posts.xml")


def damaged_xml(folder: Path, variant: int) -> Case:
    line = [
        '<row Id="9" PostTypeId="1" Body="a',
        '<row Id="9" PostTypeId="1" Body="&a;" />',
        '<row Id="9" PostTypeId="1" Body="<p>" />',
        '<row Id="9" PostTypeId="1" Id="9" />',
        "junk",
    ][variant]
    return Case(_posts(folder, line, 2 + variant), good=VARIANTS, bad=1)


KINDS: dict[str, Callable[[Path, int], Case]] = {
    kind.__name__: kind
    for kind in (
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
        cut_gzip,
        damaged_gzip,
        no_gzip,
        gzip_bomb,
        cut_parquet,
        damaged_parquet,
        parquet_values,
        missing_column,
        csv_quotes,
        csv_fields,
        binary_file,
        broken_utf_16_file,
        huge_file,
        link_loops,
        links_astray,
        no_files,
        odd_names,
        deep_html,
        entity_bomb,
        damaged_xml,
    )
}

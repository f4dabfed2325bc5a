"""Damaged files of rows in other formats: gzip, Parquet, CSV."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from hostile.case import GOOD, MAX_BYTES, VARIANTS, Case, stop
from revela.settings import FilesSource


def _compressed() -> bytes:
    lines = [json.dumps({"text": f"{n * 7919 % 10007} {n * n % 9973}"}).encode() for n in range(20_000)]
    return gzip.compress(b"\n".join(lines), mtime=0)


def cut_gzip(folder: Path, variant: int) -> Case:
    whole = _compressed()
    return stop(folder, "a.jsonl.gz", whole[: [5, 12, len(whole) // 2, -9, -1][variant]])


def damaged_gzip(folder: Path, variant: int) -> Case:
    raw = bytearray(_compressed())
    at = [20, len(raw) // 3, len(raw) // 2, len(raw) - 20, len(raw) - 6][variant]
    raw[at] ^= 0xFF
    return stop(folder, "a.jsonl.gz", bytes(raw))


def no_gzip(folder: Path, variant: int) -> Case:
    content = [
        b"\n".join(GOOD),
        b"PK\x03\x04" + bytes(100),
        b"\x1f\x8b",
        b"\x1f\x8b\x08" + bytes(50),
        bytes(9),
    ]
    return stop(folder, "a.jsonl.gz", content[variant])


def gzip_bomb(folder: Path, variant: int) -> Case:
    lines = (b" " * 65535 + b"\n") * 16
    unit = [bytes(1 << 20), b" " * (1 << 20), lines, b"[" * (1 << 20), lines]
    name = "a.csv.gz" if variant == 4 else "a.jsonl.gz"
    start = gzip.compress(b"text\n" if variant == 4 else GOOD[0] + b"\n")
    return stop(folder, name, start + gzip.compress(unit[variant]) * 110)


def _parquet(table: pa.Table) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file, compression="gzip", use_dictionary=False)
    return file.getvalue()


def cut_parquet(folder: Path, variant: int) -> Case:
    whole = _parquet(pa.table({"text": [str(number * 7919) for number in range(5000)]}))
    return stop(folder, "a.parquet", whole[: [0, 4, len(whole) // 2, -8, -1][variant]])


def damaged_parquet(folder: Path, variant: int) -> Case:
    raw = bytearray(_parquet(pa.table({"text": [f"{number * 7919 % 10007}" for number in range(20_000)]})))
    at = len(raw) // 10 * (2 + variant)
    raw[at : at + 1000] = bytes(1000)
    return stop(folder, "a.parquet", bytes(raw))


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
        return stop(folder, "a.parquet", _parquet(pa.table({"body": ["a"]})))
    header = [b"", b"body\n", b"Text,text \n", b"text,text\n", b'"text\n'][variant]
    return stop(folder, "a.csv", header + b"a,b\n")


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


KINDS = (
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
)

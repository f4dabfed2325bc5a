"""Records are cut into blocks whose digests tell whether anything about them changed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from revela.corpus import blocks
from revela.corpus.blocks import Block, cut_blocks
from revela.corpus.schema import Record


def files(names: list[str], size: int = 100) -> list[Record]:
    return [Record(name, None, name.encode().ljust(size, b"."), "folder:manual") for name in names]


def rows(count: int, size: int = 100) -> list[Record]:
    return [
        Record("a.jsonl", line, str(line).encode().ljust(size), "files:a.jsonl")
        for line in range(1, count + 1)
    ]


def cut(records: list[Record], mark: str = "settings") -> list[Block]:
    return list(cut_blocks(records, 3, mark))


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 1000)
    monkeypatch.setattr(blocks, "MIN_BLOCK_BYTES", 300)


def test_every_record_is_in_one_block_in_order() -> None:
    found = cut(rows(35))
    assert [record for block in found for record in block.records] == rows(35)
    assert [(block.source, block.number, block.bytes) for block in found] == [
        (3, 0, 1000), (3, 1, 1000), (3, 2, 1000), (3, 3, 500),
    ]  # fmt: skip


def test_a_large_record_closes_its_block_and_no_records_give_none() -> None:
    assert [len(block.records) for block in cut([*rows(2), *rows(1, 5000), *rows(1)])] == [3, 1]
    assert cut([]) == []


def test_the_digest_depends_on_all_that_decides_the_result() -> None:
    same, again = cut(rows(3)), cut(rows(3))
    assert same[0].digest == again[0].digest
    others = [
        cut(rows(3), "other settings"),
        cut([replace(record, file="b.jsonl") for record in rows(3)]),
        cut([replace(record, line=record.line + 1) for record in rows(3)]),
        cut([replace(record, source="files:*.jsonl") for record in rows(3)]),
        cut([replace(record, fault=("too_large", "")) for record in rows(3)]),
        cut(rows(3, 101)),
        cut(rows(2)),
    ]
    assert len({same[0].digest, *(other[0].digest for other in others)}) == 8


def test_rows_that_are_appended_leave_the_full_blocks_as_they_were() -> None:
    before, after = cut(rows(35)), cut(rows(60))
    assert [block.digest for block in before[:3]] == [block.digest for block in after[:3]]


def test_a_file_more_changes_few_blocks() -> None:
    names = [f"manual/{number:04d}.md" for number in range(1000)]
    before = {block.digest for block in cut(files(names))}
    after = {block.digest for block in cut(files(sorted([*names, "manual/0500b.md"])))}
    assert len(before) > 100
    # Sizes alone would shift every cut behind the new file: half of the blocks.
    assert len(before - after) < 12

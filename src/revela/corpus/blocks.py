"""Records in blocks of a few megabytes: what one process works on, and what is cached as one."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from revela.corpus.schema import Record

# A block is large enough that sending it costs little, and small enough that two cores share a small corpus.
BLOCK_BYTES = 4_000_000
MIN_BLOCK_BYTES = 1_000_000
_CUT_ONE_IN = 32


@dataclass(frozen=True)
class Block:
    """Consecutive records of one source.

    Attributes:
        source: number of the source in `corpus.sources`.
        number: number of the block in its source.
        records: at least one.
        digest: of the records and of everything else that decides what is made of them.
    """

    source: int
    number: int
    records: list[Record]
    digest: str

    @property
    def bytes(self) -> int:
        return sum(len(record.payload) for record in self.records)


def cut_blocks(records: Iterable[Record], source: int, mark: str) -> Iterator[Block]:
    """Records of one source, in their order, as blocks of about :data:`BLOCK_BYTES`.

    Where records are whole files, a block also ends behind files that their names choose (content-defined
    chunking, Muthitacharoen et al., SOSP 2001): a file that is added or removed changes its own block and
    hardly another, so the cached results of the others still serve. Rows need no such care: what is
    appended leaves the blocks before it as they were.

    Args:
        records: of one source.
        source: its number.
        mark: digest of settings and code; part of every block's digest.
    """
    number, gathered, size = 0, [], 0
    for record in records:
        gathered.append(record)
        size += len(record.payload)
        chosen = record.line is None and zlib.crc32(record.file.encode("utf-8", "replace")) % _CUT_ONE_IN == 0
        if size >= BLOCK_BYTES or (chosen and size >= MIN_BLOCK_BYTES):
            yield Block(source, number, gathered, _digest(gathered, mark))
            number, gathered, size = number + 1, [], 0
    if gathered:
        yield Block(source, number, gathered, _digest(gathered, mark))


def _digest(records: list[Record], mark: str) -> str:
    digest = hashlib.blake2b(mark.encode(), digest_size=20)
    for record in records:
        # Lengths first, so that no two lists of records read the same.
        head = f"{record.source}\0{record.file}\0{record.line}\0{record.fault}\0{len(record.payload)}\0"
        digest.update(head.encode("utf-8", "surrogatepass"))
        digest.update(record.payload)
    return digest.hexdigest()

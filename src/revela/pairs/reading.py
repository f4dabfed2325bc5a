"""Read pairs back, and draw what each step of training sees."""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import fields
from itertools import islice
from operator import itemgetter
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from revela.errors import RevelaError
from revela.files import read_json
from revela.pairs.pair import Pair
from revela.pairs.schema import PAIR_SCHEMA
from revela.pairs.turns import Turns

_COLUMNS = [field.name for field in fields(Pair)]
_LOOKED_AT = 64
"""Pairs that are passed over for one of another document before one of the same is taken."""


class Pairs:
    """The pairs of a folder, by kind.

    Attributes:
        shares: kind -> share of the pairs that training sees, summing to 1.

    Raises:
        RevelaError: the folder holds no pairs.
    """

    def __init__(self, folder: Path) -> None:
        shards = sorted(Path(folder).glob("pairs-*.parquet"))
        if not shards:
            raise RevelaError(f"{folder}: no pairs-*.parquet. Run the stage build_batches first.")
        self._table = pa.concat_tables(pq.read_table(shard, schema=PAIR_SCHEMA) for shard in shards)
        self.shares: Mapping[str, float] = read_json(Path(folder) / "shares.json")

    def __len__(self) -> int:
        return len(self._table)

    def trained(self) -> Pairs:
        """What training may see."""
        return self._where(pc.invert(self._table["held_out"]))

    def held_out(self) -> Pairs:
        """What training never sees."""
        return self._where(self._table["held_out"])

    def of_kind(self, kind: str) -> list[Pair]:
        """The pairs of one kind, in their order."""
        return self._where(pc.equal(self._table["kind"], kind)).all()

    def all(self) -> list[Pair]:
        return [Pair(**row) for row in self._table.select(_COLUMNS).to_pylist()]

    def counts(self) -> Counter[str]:
        """Kind -> how many pairs of it there are, in the order of the file."""
        return Counter(self._table["kind"].to_pylist())

    def kinds(self) -> list[str]:
        """Those that there are pairs of, in the order of the file."""
        return list(self.counts())

    def _where(self, mask: pa.ChunkedArray) -> Pairs:
        some = Pairs.__new__(Pairs)
        some._table, some.shares = self._table.filter(mask), self.shares
        return some


def draw(
    pairs: Mapping[str, Sequence[Pair]],
    shares: Mapping[str, float],
    length: int,
    together: int,
    seed: int,
    mixed: bool = True,
) -> list[Pair]:
    """A sequence in which every stretch has the kinds in their shares, and each pair of a kind comes in turn.

    Pairs that are seen together are of different documents where the corpus has enough of them: another
    passage of one document is no safe negative.

    Args:
        pairs: kind -> pairs to draw from, none empty.
        shares: kind -> share.
        length: of the sequence.
        together: so many consecutive pairs are contrasted with one another.
        seed: of the order within a kind.
        mixed: whether pairs of several kinds are contrasted with one another, see :class:`Turns`.
    """
    room = {kind: len({pair.document_id for pair in several}) for kind, several in pairs.items()}
    kinds = Turns(shares, room, together, mixed)
    waiting: dict[str, deque[Pair]] = {kind: deque() for kind in pairs}
    turns = dict.fromkeys(pairs, 0)
    drawn: list[Pair] = []
    documents: set[str] = set()
    for place in range(length):
        if place % together == 0:
            documents = set()
            kinds.begin()
        kind = kinds.next()
        kinds.took(kind, 1)
        left = waiting[kind]
        if not left:
            left.extend(_turn(pairs[kind], random.Random(f"{seed} {kind} {turns[kind]}")))
            turns[kind] += 1
        looked_at = enumerate(islice(left, _LOOKED_AT))
        index = next((number for number, pair in looked_at if pair.document_id not in documents), 0)
        pair = left[index]
        del left[index]
        documents.add(pair.document_id)
        drawn.append(pair)
    return drawn


def _turn(pairs: Sequence[Pair], generator: random.Random) -> list[Pair]:
    """Every pair once, in an order in which those of one document are spread evenly."""
    shuffled = list(pairs)
    generator.shuffle(shuffled)
    number = Counter(pair.document_id for pair in pairs)
    before: Counter[str] = Counter()
    places = []
    for pair in shuffled:
        places.append((before[pair.document_id] + generator.random()) / number[pair.document_id])
        before[pair.document_id] += 1
    return [pair for _, pair in sorted(zip(places, shuffled, strict=True), key=itemgetter(0))]

"""Pairs of made-up text in a folder of groups, as the stage build_batches leaves them there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from revela.files import write_json
from revela.pairs.pair import Pair
from revela.pairs.schema import PAIR_SCHEMA

COLOURS = ["red", "green", "blue", "grey", "white", "black", "brown", "amber"]
THINGS = ["house", "river", "engine", "garden", "window", "letter", "bridge", "kitchen"]
SHARES = {"title": 0.75, "heading": 0.25}


def made_up() -> list[Pair]:
    """64 titles, of a document each, and 16 headings, two of each of the first 8 documents."""
    titles = [
        Pair("title", f"the {colour} {thing}", f"a {thing}, coloured {colour}.", f"{colour}-{thing}", "s")
        for colour in COLOURS
        for thing in THINGS
    ]  # fmt: skip
    headings = [
        Pair("heading", f"{verb} the {thing}", f"how to {verb} a {thing} by hand", f"red-{thing}", "s")
        for thing in THINGS
        for verb in ("paint", "sell")
    ]
    return titles + headings


def write_pairs(
    folder: Path, pairs: Sequence[Pair], shares: Mapping[str, float], held_out: Callable[[Pair], bool]
) -> Path:
    """Add pairs to a folder that exists."""
    rows = [asdict(pair) | {"held_out": held_out(pair)} for pair in pairs]
    pq.write_table(pa.Table.from_pylist(rows, schema=PAIR_SCHEMA), folder / "pairs-00000.parquet")
    write_json(folder / "shares.json", dict(shares))
    return folder


def is_held_out(pair: Pair) -> bool:
    """Two things of the eight: 16 titles and 4 headings."""
    return pair.document_id.endswith(("garden", "window"))

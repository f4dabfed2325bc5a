"""How much of each kind training sees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from revela.settings import PairKind

STRENGTHS: Mapping[str, float] = {
    "docstring": 1.0,
    "definition": 0.5,
    "message": 0.5,
    "title": 1.0,
    "heading": 1.0,
    "answer": 1.0,
    "link": 0.25,
    "caption": 0.25,
    "sentence": 0.25,
    "cloze": 0.5,
    "halves": 0.0,
    "generated": 1.0,
}
"""Share of a kind that the corpus has plenty of, relative to the others."""

PLENTY = 1000
"""Pairs from which on a kind has its full share; below, its share falls with its number."""

_FILLING = "halves"


def shares_of(
    kinds: Mapping[PairKind, float] | Literal["auto"], counts: Mapping[str, int]
) -> dict[str, float]:
    """Kind -> share of what training sees, summing to 1.

    Args:
        kinds: as `batches.pairs.kinds`: shares relative to one another, or ``auto``.
        counts: kind -> pairs that training may see; kinds without any get no share.
    """
    if kinds == "auto":
        wanted = {
            kind: STRENGTHS[kind] * min(1.0, number / PLENTY) for kind, number in counts.items() if number
        }
        # What every text has fills the place of what this one lacks.
        others = sum(number for kind, number in counts.items() if STRENGTHS[kind])
        filling = counts.get(_FILLING, 0)
        if filling:
            wanted[_FILLING] = max(0.0, 1 - others / PLENTY) * min(1.0, filling / PLENTY)
    else:
        wanted = {kind: share for kind, share in kinds.items() if counts.get(kind)}
    total = sum(wanted.values())
    return {kind: round(share / total, 4) for kind, share in wanted.items() if share}

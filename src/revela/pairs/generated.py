"""Pairs whose query is nowhere in the corpus: a language model wrote it (:mod:`revela.questions`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from revela.pairs.pair import Pair

GENERATED = "generated"
"""Their kind."""


@dataclass(frozen=True)
class Generated:
    """What a language model made of a corpus.

    Attributes:
        pairs: those that are worth training on.
        dropped: reason (:data:`revela.pairs.mining.REASONS`) -> how many were not.
    """

    pairs: Sequence[Pair] = ()
    dropped: Mapping[str, int] = field(default_factory=dict)

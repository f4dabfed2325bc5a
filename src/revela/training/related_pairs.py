"""Pairs that are told apart only by reading them: those that look nearly alike come together.

Negatives decide what a contrastive step teaches. Pairs drawn at random differ in what they are about, which
an encoder that was trained before knows already; neighbours, functions of one file above all, differ in what
they say. Which are neighbours their words say, or the encoder itself: what it takes for one another is what
it has to learn (ANCE, Xiong et al. 2021, arXiv 2007.00808, mines single passages so).
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np

from revela.groups.clusters import balanced_leaves, project
from revela.groups.relatedness import Bm25
from revela.groups.word_counts import count_words
from revela.pairs.pair import Pair, squash
from revela.pairs.turns import Turns

Points = Callable[[Sequence[Pair], int], np.ndarray]
"""Pairs of one kind and a seed -> (pairs, dimensions) float32: the nearer two, the harder to tell apart."""


def by_words(pairs: Sequence[Pair], seed: int) -> np.ndarray:
    """By the words of query and passage together, weighted as BM25 weights them."""
    counts = count_words([[f"{pair.query} {pair.passage}" for pair in pairs]])
    return project(counts, Bm25.of(counts), seed)


def related_leaves(
    pairs: Sequence[Pair], size: int, seed: int, points: Points = by_words
) -> list[list[Pair]]:
    """All pairs in parts of at most `size`, each of neighbours."""
    if size == 1:
        return [[pair] for pair in pairs]
    if len(pairs) <= size:
        return [list(pairs)]
    return [[pairs[number] for number in leaf] for leaf in balanced_leaves(points(pairs, seed), size, seed)]


def draw_related(
    pairs: Mapping[str, Sequence[Pair]],
    shares: Mapping[str, float],
    items: int,
    together: int,
    related: int,
    seed: int,
    points: Points = by_words,
    single: Collection[str] = (),
    mixed: bool = True,
) -> list[list[Pair]]:
    """Items of pairs to contrast, each made of a few parts of related pairs, kinds in their shares.

    Every pair of a kind comes once before one comes again. No two pairs of an item have the same query, and
    no passage of an item holds another: a class and its method would each be a right answer called wrong.

    Args:
        pairs: kind -> pairs to draw from, none empty.
        shares: kind -> share.
        items: how many.
        together: pairs of an item.
        related: pairs of a part at most.
        seed: of the parts and of their order.
        points: what makes two pairs neighbours.
        single: kinds whose pairs come one by one, of other documents than the rest of their item.
        mixed: whether pairs of several kinds are contrasted with one another, see :class:`Turns`.
    """
    room = {
        kind: len({pair.document_id for pair in several}) if kind in single else len(several)
        for kind, several in pairs.items()
    }
    kinds = Turns(shares, room, together, mixed)
    queues = {}
    for kind in pairs:
        leaves = related_leaves(pairs[kind], 1 if kind in single else related, seed, points)
        queues[kind] = _Queue(leaves, f"{seed} {kind}", kind in single)
    drawn: list[list[Pair]] = []
    for _ in range(items):
        item: list[Pair] = []
        kinds.begin()
        while len(item) < together:
            kind = kinds.next()
            chosen = queues[kind].take(item, together - len(item))
            item += chosen
            kinds.took(kind, len(chosen))
        drawn.append(item)
    return drawn


class _Queue:
    """The leaves of one kind in turn, shuffled anew each time that all have been seen."""

    def __init__(self, leaves: list[list[Pair]], name: str, single: bool) -> None:
        self._leaves, self._name, self._single, self._turn = leaves, name, single, 0
        self._waiting: deque[list[Pair]] = deque()

    def take(self, item: Sequence[Pair], room: int) -> list[Pair]:
        """At most `room` pairs of one leaf that go with those of an item; at least one."""
        for _ in range(2):
            # What clashes with this item waits for the next one.
            for _ in range(len(self._waiting)):
                leaf = self._waiting.popleft()
                fitting = _fitting(leaf, item, self._single)
                spare, clashing = fitting[room:], [pair for pair in leaf if pair not in fitting]
                if spare:
                    self._waiting.appendleft(spare)
                if clashing:
                    self._waiting.append(clashing)
                if fitting:
                    return fitting[:room]
            if len(self._waiting) > len(self._leaves):
                break  # a whole turn clashes already, another one would, too
            order = list(self._leaves)
            random.Random(f"{self._name} {self._turn}").shuffle(order)
            self._turn += 1
            self._waiting.extend(order)
        # The corpus has too few pairs to fill an item without one twice.
        return self._waiting.popleft()[:room]


def _fitting(leaf: Sequence[Pair], item: Sequence[Pair], single: bool) -> list[Pair]:
    """The pairs of a leaf that clash neither with those of an item nor with one another."""
    if single and {pair.document_id for pair in leaf} & {pair.document_id for pair in item}:
        return []
    queries = {squash(pair.query) for pair in item}
    passages = [pair.passage for pair in item]
    fitting = []
    for pair in leaf:
        if squash(pair.query) in queries:
            continue
        if any(pair.passage in other or other in pair.passage for other in passages):
            continue
        queries.add(squash(pair.query))
        passages.append(pair.passage)
        fitting.append(pair)
    return fitting

"""Hard limits: no document dominates, and no more groups than wanted, by draws that the seed decides."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from revela.groups.formed import Formed, runs

if TYPE_CHECKING:
    from revela.chunks.store import ChunkStore


T = TypeVar("T")


def draw(items: list[T], limit: int | None, generator: random.Random) -> list[T]:
    """At most `limit` items, drawn without replacement, in their old order."""
    if limit is None or len(items) <= limit:
        return list(items)
    return [items[index] for index in sorted(generator.sample(range(len(items)), limit))]


def limit_documents(
    store: ChunkStore, members: np.ndarray, most_chunks: int | None, seed: int
) -> tuple[np.ndarray, int]:
    """At most `most_chunks` chunks of every document.

    Seeded by the document's id, so that one document's draw does not depend on the others.

    Args:
        members: numbers of chunks, ascending.

    Returns:
        the members that stay, ascending, and how many do not.
    """
    if most_chunks is None:
        return members, 0
    starts, lengths = runs(store.document[members])
    stays = np.ones(len(members), bool)
    long = lengths > most_chunks
    ids = store.document_ids(members[starts[long]])
    for start, length, name in zip(starts[long], lengths[long], ids, strict=True):
        kept = random.Random(f"{seed}:{name}").sample(range(length), most_chunks)
        stays[start : start + length] = False
        stays[start + np.array(kept)] = True
    return members[stays], int((~stays).sum())


def draw_groups(formed: Formed, weights: list[float], max_groups: int | None, seed: int) -> Formed:
    """The groups to train on, in the order of training: shares as the weights say, shuffled by the seed.

    As many groups are kept as the weights allow: when a component has too few groups for its share, the
    others are cut (reason ``mixture_weights``), then all to `max_groups` (``group_limit``).

    Args:
        weights: of the components, in their order; ``[1.0]`` without a mixture.
    """
    have = np.bincount(formed.component, minlength=len(weights))
    by_weight = quotas(have, weights, None)
    final = quotas(have, weights, max_groups)
    size = formed.groups.shape[1]
    dropped = formed.dropped + Counter(
        mixture_weights=int(have.sum() - by_weight.sum()) * size,
        group_limit=int(by_weight.sum() - final.sum()) * size,
    )
    generator = random.Random(f"{seed}:groups")
    kept: list[int] = []
    for component, quota in enumerate(final):
        kept += draw(np.flatnonzero(formed.component == component).tolist(), int(quota), generator)
    generator.shuffle(kept)
    return replace(
        formed,
        groups=formed.groups[kept],
        kinds=[formed.kinds[number] for number in kept],
        component=formed.component[kept],
        dropped=dropped,
    )


def quotas(have: np.ndarray, weights: list[float], most: int | None) -> np.ndarray:
    """Groups of each component: in proportion to the weights, as many as there are, `most` in all at most.

    Each is within one group of its exact share (largest remainders).

    >>> quotas(np.array([10, 100]), [1.0, 3.0], None).tolist()
    [10, 30]
    >>> quotas(np.array([10, 100]), [1.0, 3.0], 10).tolist()
    [3, 7]
    """
    share = np.array(weights) / sum(weights)
    # A hair more than the quotient, or 30 / 0.3 would come out as 99 groups.
    total = int((have / share).min() + 1e-9)
    total = total if most is None else min(total, most)
    exact = share * total
    quota = np.floor(exact + 1e-9).astype(np.int64)
    order = np.argsort(-(exact - quota), kind="stable")
    for component in order:
        if quota.sum() < total and quota[component] < have[component]:
            quota[component] += 1
    return quota

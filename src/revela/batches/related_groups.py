"""The most related of many texts into groups: clusters first, then all similarities inside a cluster."""

from __future__ import annotations

import logging

import numpy as np
from scipy import sparse
from threadpoolctl import threadpool_limits

from revela.batches.clusters import balanced_leaves, project
from revela.batches.packing import pack
from revela.batches.relatedness import CHANCE_QUANTILE, Bm25, evenly_spaced, mean_pairwise, random_groups
from revela.progress import track

logger = logging.getLogger(__name__)

# Texts whose similarities are all computed: 64 MB of float32, and time that grows as n · LEAF.
LEAF = 4096
# What leaves have left over is pooled and grouped again, as long as that groups this share of it.
_WORTHWHILE = 0.01
_CHANCE_GROUPS = 1000


def related_groups(
    counts: sparse.csr_matrix,
    sizes: np.ndarray,
    documents: np.ndarray,
    group_size: int,
    most_of_document: int,
    *,
    above_chance: bool,
    seed: int,
    description: str,
) -> tuple[np.ndarray, np.ndarray]:
    """Put units into groups of `group_size` chunks that are as related as can be found.

    Units are sorted into leaves of at most :data:`LEAF` related ones; within a leaf
    :func:`revela.batches.packing.pack` sees every similarity. What is left over in the leaves is pooled,
    neighbouring leaves together, and packed again. Time grows as n log n, memory as n. One thread, so that
    the result does not depend on the number of cores.

    Args:
        counts: (n, columns) word counts of the units.
        sizes: (n,) chunks a unit.
        documents: (n,) number of the document of each unit.
        above_chance: leave out groups that are no more related than chance allows
            (:data:`CHANCE_QUANTILE`); for units of one chunk.
        description: a few words for the progress report.

    Returns:
        (groups, group_size) numbers of units, ascending in a group, and (n,) chunks left over.
    """
    left = sizes.copy()
    found: list[np.ndarray] = [np.empty((0, group_size), np.int64)]
    if len(sizes) == 0:
        return found[0], left
    generator = np.random.default_rng(seed)
    everything = np.arange(len(sizes))
    with threadpool_limits(1):
        bm25 = Bm25.of(counts[evenly_spaced(everything)])
        floor = _chance(counts, bm25, group_size, seed) if above_chance else -np.inf
        pools = [everything]
        if len(sizes) > LEAF:
            logger.info("%s: sorting %d texts by what they are about", description, len(sizes))
            pools = balanced_leaves(project(counts, bm25, seed), LEAF, seed)
        while pools:
            before, rest = int(left.sum()), []
            for pool in track(pools, description):
                vectors = bm25.vectors(counts[pool])
                similarity = (vectors @ vectors.T).toarray()
                groups, left[pool] = pack(
                    similarity, left[pool], documents[pool], group_size, most_of_document, floor, generator
                )
                found.append(np.sort(pool[groups], axis=1))
                rest.append(pool[left[pool] > 0])
            grouped = before - int(left.sum())
            if len(pools) == 1 or grouped < _WORTHWHILE * before:
                break
            pools = _cut(np.concatenate(rest), LEAF)
    return np.concatenate(found), left


def _chance(counts: sparse.csr_matrix, bm25: Bm25, group_size: int, seed: int) -> float:
    drawn = random_groups(np.arange(counts.shape[0]), group_size, _CHANCE_GROUPS, seed)
    if len(drawn) == 0:
        return -np.inf
    related = mean_pairwise(bm25.vectors(counts[drawn.ravel()]), group_size)
    return float(np.quantile(related, CHANCE_QUANTILE))


def _cut(members: np.ndarray, size: int) -> list[np.ndarray]:
    return [members[start : start + size] for start in range(0, len(members), size)]

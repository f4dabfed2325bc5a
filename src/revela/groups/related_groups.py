"""The most related of many texts into groups: clusters first, then all similarities inside a cluster."""

from __future__ import annotations

import logging

import numpy as np
from scipy import sparse
from threadpoolctl import threadpool_limits

from revela.groups.clusters import balanced_leaves, project
from revela.groups.packing import pack
from revela.groups.relatedness import CHANCE_QUANTILE, Bm25, evenly_spaced, mean_pairwise, random_groups
from revela.progress import track

logger = logging.getLogger(__name__)

# Texts whose similarities are all computed: 256 MB of float32, and time that grows as n · LEAF.
LEAF = 8192
_ROWS_AT_ONCE = 512
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
    :func:`revela.groups.packing.pack` sees every similarity. What is left over in the leaves is pooled,
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
    with threadpool_limits(1):
        bm25 = Bm25.of(counts[evenly_spaced(np.arange(len(sizes)))])
        floor = _chance(counts, bm25, group_size, seed) if above_chance else -np.inf
        leaves = [np.arange(len(sizes))]
        if len(sizes) > LEAF:
            logger.info("%s: sorting %d texts by what they are about", description, len(sizes))
            leaves = balanced_leaves(project(counts, bm25, seed), LEAF, seed)
        generator = np.random.default_rng(seed)

        def pack_pool(pool: np.ndarray) -> np.ndarray:
            """Groups of these units; what they take is gone from `left`."""
            groups, left[pool] = pack(
                _similarity(bm25.vectors(counts[pool])),
                left[pool],
                documents[pool],
                group_size,
                most_of_document,
                floor,
                generator,
            )
            return np.sort(pool[groups], axis=1)

        pools = leaves
        while pools:
            before = int(left.sum())
            found += [pack_pool(pool) for pool in track(pools, description)]
            if len(pools) == 1 or before - int(left.sum()) < _WORTHWHILE * before:
                break
            rest = np.concatenate([pool[left[pool] > 0] for pool in pools])
            pools = [rest[start : start + LEAF] for start in range(0, len(rest), LEAF)]
    return np.concatenate(found), left


def _similarity(vectors: sparse.csr_matrix) -> np.ndarray:
    """(n, n) float32; some rows at a time, for as a sparse matrix it would take three times the memory."""
    similarity = np.empty((vectors.shape[0],) * 2, np.float32)
    others = vectors.T.tocsr()
    for start in range(0, len(similarity), _ROWS_AT_ONCE):
        (vectors[start : start + _ROWS_AT_ONCE] @ others).toarray(
            out=similarity[start : start + _ROWS_AT_ONCE]
        )
    return similarity


def _chance(counts: sparse.csr_matrix, bm25: Bm25, group_size: int, seed: int) -> float:
    drawn = random_groups(np.arange(counts.shape[0]), group_size, _CHANCE_GROUPS, seed)
    if len(drawn) == 0:
        return -np.inf
    related = mean_pairwise(bm25.vectors(counts[drawn.ravel()]), group_size)
    return float(np.quantile(related, CHANCE_QUANTILE))

"""Texts that are about the same thing next to each other: a tree of even cuts in two.

Words are projected onto a few directions that tell the texts apart best (latent semantic analysis,
Deerwester et al. 1990: a truncated SVD, fitted on a sample), and there the texts are cut in two, and these
again and again, along the direction that separates two clusters. Cost grows as n log n with a small factor.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from sklearn.decomposition import TruncatedSVD

from revela.groups.relatedness import Bm25, evenly_spaced

DIMENSIONS = 128
_FIT_SAMPLE = 16_384
_ROWS_AT_ONCE = 16_384
_CUT_SAMPLE = 2048
_REFINEMENTS = 6


def project(counts: sparse.csr_matrix, bm25: Bm25, seed: int) -> np.ndarray:
    """Every text as a unit vector of at most :data:`DIMENSIONS` entries.

    Args:
        counts: (n, columns) word counts.

    Returns:
        (n, dimensions) float32; a text without a known word is all zeros.
    """
    sample = bm25.vectors(counts[evenly_spaced(np.arange(counts.shape[0]), _FIT_SAMPLE)])
    # A word of one text alone relates it to nothing.
    known = np.flatnonzero(np.bincount(sample.indices, minlength=sample.shape[1]) >= 2)
    sample = sample[:, known]
    dimensions = min(DIMENSIONS, *(size - 1 for size in sample.shape))
    svd = TruncatedSVD(dimensions, n_iter=3, random_state=seed).fit(sample)
    directions = np.zeros((counts.shape[1], dimensions), np.float32)
    directions[known] = svd.components_.T
    projected = np.empty((counts.shape[0], dimensions), np.float32)
    for start in range(0, counts.shape[0], _ROWS_AT_ONCE):
        rows = bm25.vectors(counts[start : start + _ROWS_AT_ONCE]) @ directions
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        projected[start : start + _ROWS_AT_ONCE] = rows / np.where(norms > 0, norms, 1)
    return projected


def balanced_leaves(points: np.ndarray, leaf_size: int, seed: int) -> list[np.ndarray]:
    """Cut points in two, and these again, into as few equally large parts as `leaf_size` allows.

    Args:
        points: (n, dimensions) float32.

    Returns:
        numbers of the points of each leaf, ascending; leaves in the order of the tree, so that
        neighbours are related.
    """
    generator = np.random.default_rng(seed)
    leaves: list[np.ndarray] = []
    waiting = [(np.arange(len(points)), -(-len(points) // leaf_size))]
    while waiting:
        members, parts = waiting.pop()
        if parts <= 1:
            leaves.append(np.sort(members))
            continue
        scores = points[members] @ _direction(points, members, generator)
        order = np.argsort(scores, kind="stable")
        first = parts // 2
        cut = len(members) * first // parts
        waiting += [(members[order[cut:]], parts - first), (members[order[:cut]], first)]
    return leaves


def _direction(points: np.ndarray, members: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """From the centre of one of two equally large clusters of the points to the other's."""
    drawn = generator.choice(members, _CUT_SAMPLE, replace=False) if len(members) > _CUT_SAMPLE else members
    sample = points[drawn]
    direction: np.ndarray = sample[0] - sample.mean(axis=0)
    for _ in range(_REFINEMENTS):
        order = np.argsort(sample @ direction, kind="stable")
        half = len(order) // 2
        direction = sample[order[half:]].mean(axis=0) - sample[order[:half]].mean(axis=0)
    return direction

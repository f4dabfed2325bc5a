"""What is over in documents, and short documents, joined with their nearest relatives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from revela.groups.formed import concatenated_ranges, count_words_of, runs
from revela.groups.related_groups import related_groups

if TYPE_CHECKING:
    from revela.chunks.store import ChunkStore


def join_relatives(store: ChunkStore, members: np.ndarray, group_size: int, seed: int) -> np.ndarray:
    """Full groups of the remainders of documents, of one source each.

    A remainder's chunks stay together and in order; it is cut only where it is larger than the room that
    is left in a group. All but fewer than `group_size` chunks of each source find a place, however little
    related: what a document strategy drops is text that no other group has.

    Args:
        members: numbers of the chunks of all remainders, ascending, fewer than `group_size` a document.

    Returns:
        (groups, group_size) int64, the groups of one source after those of another.
    """
    found = [np.empty((0, group_size), np.int64)]
    sources = store.source[members]
    for code in np.unique(sources):
        of_source = members[sources == code]
        if len(of_source) >= group_size:
            found.append(_join(store, of_source, group_size, seed))
    return np.concatenate(found)


def _join(store: ChunkStore, members: np.ndarray, group_size: int, seed: int) -> np.ndarray:
    starts, sizes = runs(store.document[members])
    name = store.sources[int(store.source[members[0]])]
    counts = count_words_of(store, members, f"counting words of {name}")
    groups, _ = related_groups(
        _sums(counts, starts, sizes),
        sizes,
        np.arange(len(sizes)),
        group_size,
        1,
        above_chance=False,
        seed=seed,
        description=f"joining remainders of {name}",
    )
    # A remainder's chunks are handed out from its front, in the order in which groups took some.
    units = groups.ravel()
    order = np.argsort(units, kind="stable")
    _, times = runs(units[order])
    place = np.empty(len(units), np.int64)
    place[order] = concatenated_ranges(np.zeros_like(times), times)
    chunks: np.ndarray = members[starts[units] + place]
    return chunks.reshape(-1, group_size)


def _sums(counts: sparse.csr_matrix, starts: np.ndarray, sizes: np.ndarray) -> sparse.csr_matrix:
    """(remainders, columns): the counts of each remainder's chunks added up."""
    rows = np.repeat(np.arange(len(starts)), sizes)
    member = sparse.csr_matrix(
        (np.ones(len(rows), np.int32), (rows, np.arange(len(rows)))), shape=(len(starts), len(rows))
    )
    return member @ counts

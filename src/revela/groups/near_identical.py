"""The last check of every group: no two of its chunks are near-identical, by their exact shingles.

A language model that can read a copy of what it has to predict copies, and the retriever learns to find
copies. The search for duplicates over all chunks has removed what it found; it goes by hashes and may miss
a pair. This check does not.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from revela.corpus.shingles import jaccard as jaccard_of
from revela.corpus.shingles import shingle_hashes, shingles_of_texts
from revela.groups.formed import JOINED, WHOLE_DOCUMENT, Formed, group_iter
from revela.progress import track

if TYPE_CHECKING:
    from revela.chunks.store import ChunkStore

_GROUPS_AT_ONCE = 128


@dataclass(frozen=True)
class Separated:
    """What the check did.

    Attributes:
        formed: groups without a near-identical pair.
        pairs: near-identical pairs that were found in groups.
        replaced: chunks that gave way to a spare one.
    """

    formed: Formed
    pairs: int
    replaced: int


def separate_near_identical(
    store: ChunkStore, formed: Formed, jaccard: float | None, shingle_words: int
) -> Separated:
    """Replace the later chunk of every near-identical pair by a spare one, or drop the group.

    A chunk that gives way is dropped as ``near_identical_in_group``. Its place goes to the first spare
    chunk of the same source whose document is not in the group and that is near-identical to nothing in
    it; when there is none, all of the group is dropped as ``near_identical_group``.

    Args:
        jaccard: two chunks whose sets of shingles have at least this Jaccard index are near-identical;
            None checks nothing.
        shingle_words: words of a shingle.
    """
    if jaccard is None or len(formed.groups) == 0:
        return Separated(formed, 0, 0)
    size = formed.groups.shape[1]
    found: list[tuple[int, int, int]] = []
    slices = track(
        group_iter(formed.groups, _GROUPS_AT_ONCE),
        "checking groups for near-identical chunks",
        total=-(-len(formed.groups) // _GROUPS_AT_ONCE),
    )
    for first, groups in zip(range(0, len(formed.groups), _GROUPS_AT_ONCE), slices, strict=True):
        texts = store.texts(groups.ravel())
        found += [(first + g, a, b) for g, a, b in pairs_in_groups(texts, size, jaccard, shingle_words)]
    if not found:
        return Separated(formed, 0, 0)
    return _mend(store, formed, found, jaccard, shingle_words)


def pairs_in_groups(
    texts: list[str], group_size: int, jaccard: float, shingle_words: int
) -> list[tuple[int, int, int]]:
    """(group, earlier place, later place) of all near-identical pairs, ascending.

    Args:
        texts: of several groups, one after another.
    """
    shingles = list(shingles_of_texts(texts, shingle_words))
    lengths = np.array([len(each) for each in shingles])
    rows = np.repeat(np.arange(len(texts)), lengths)
    _, word = np.unique(np.concatenate(shingles), return_inverse=True)
    # One column a shingle and group, so that texts of different groups share none.
    group = rows // group_size
    _, columns = np.unique(group * (int(word.max(initial=0)) + 1) + word, return_inverse=True)
    sets = sparse.csr_matrix(
        (np.ones(len(rows), np.int32), (rows, columns)), shape=(len(texts), int(columns.max(initial=0)) + 1)
    )
    shared = sparse.triu(sets @ sets.T, k=1).tocoo()
    union = lengths[shared.row] + lengths[shared.col] - shared.data
    close = shared.data >= jaccard * union
    pairs = sorted(zip(shared.row[close].tolist(), shared.col[close].tolist(), strict=True))
    return [(a // group_size, a % group_size, b % group_size) for a, b in pairs]


def _mend(
    store: ChunkStore, formed: Formed, found: list[tuple[int, int, int]], jaccard: float, shingle_words: int
) -> Separated:
    size = formed.groups.shape[1]
    places: dict[int, set[int]] = {}
    for number, earlier, later in found:
        gone = places.setdefault(number, set())
        if earlier not in gone:  # what gives way spares its other copies
            gone.add(later)
    groups, kinds = formed.groups.copy(), list(formed.kinds)
    spare = {int(chunk): reason for reason, chunks in formed.spare.items() for chunk in chunks}
    dropped, replaced = Counter(formed.dropped), 0
    stays = np.ones(len(groups), bool)
    for number, gone in places.items():
        new = _with_replacements(store, groups[number], sorted(gone), list(spare), jaccard, shingle_words)
        if new is None:
            stays[number] = False
            dropped["near_identical_group"] += size
            continue
        for place in gone:
            del spare[int(new[place])]
        groups[number] = new
        replaced += len(gone)
        dropped["near_identical_in_group"] += len(gone)
        if kinds[number] == WHOLE_DOCUMENT:
            kinds[number] = JOINED
    left = {
        reason: np.array([chunk for chunk, why in spare.items() if why == reason], np.int64)
        for reason in formed.spare
    }
    kinds = [kind for kind, stay in zip(kinds, stays, strict=True) if stay]
    component = formed.component[stays]
    return Separated(Formed(groups[stays], kinds, dropped, left, component), len(found), replaced)


def _with_replacements(
    store: ChunkStore,
    group: np.ndarray,
    places: list[int],
    spare: list[int],
    jaccard: float,
    shingle_words: int,
) -> np.ndarray | None:
    """The group with spare chunks in these places, or None when there are too few that fit."""
    kept = np.delete(group, places)
    sets = list(shingles_of_texts(store.texts(kept), shingle_words))
    documents = set(store.document[kept].tolist())
    new, candidates = group.copy(), np.array(spare, np.int64)
    for place in places:
        of_source = candidates[store.source[candidates] == store.source[group[place]]]
        for chunk in of_source:
            if int(store.document[chunk]) in documents:
                continue
            own = shingle_hashes(store.texts(np.array([chunk]))[0], shingle_words)
            if all(jaccard_of(own, other) < jaccard for other in sets):
                new[place] = chunk
                documents.add(int(store.document[chunk]))
                sets.append(own)
                break
        else:
            return None
    return new

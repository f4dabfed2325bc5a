"""Groups of neighbours: consecutive chunks of one document, and remainders with their relatives."""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from revela.groups.caps import draw
from revela.groups.formed import JOINED, WHOLE_DOCUMENT, Formed, concatenated_ranges, runs
from revela.groups.relatives import join_relatives
from revela.settings.batches import BatchesSettings

if TYPE_CHECKING:
    from revela.chunks.store import ChunkStore


def form_by_document(store: ChunkStore, members: np.ndarray, settings: BatchesSettings, seed: int) -> Formed:
    """Cut each document's chunks into groups of consecutive ones.

    A document of n chunks gives floor(n / B) groups (``whole_document``), of which
    ``max_groups_per_document`` are drawn. What is over is joined with the most related remainders of the
    same source (``joined``); fewer than B of a source are left over as ``incomplete_group``.
    """
    size = settings.group_size
    starts, lengths = runs(store.document[members])
    whole = lengths // size
    firsts = _first_chunks(store, members, starts, whole, settings, seed)
    groups = members[firsts[:, None] + np.arange(size)]
    over = members[concatenated_ranges(starts + whole * size, lengths - whole * size)]
    joined = join_relatives(store, over, size, seed)
    spare = {"incomplete_group": np.setdiff1d(over, joined, assume_unique=True)}
    dropped = Counter(group_limit_of_document=(int(whole.sum()) - len(groups)) * size)
    kinds = [WHOLE_DOCUMENT] * len(groups) + [JOINED] * len(joined)
    return Formed(np.concatenate([groups, joined]), kinds, dropped, spare)


def _first_chunks(
    store: ChunkStore,
    members: np.ndarray,
    starts: np.ndarray,
    whole: np.ndarray,
    settings: BatchesSettings,
    seed: int,
) -> np.ndarray:
    """Place in `members` of the first chunk of every whole group that is drawn."""
    size, limit = settings.group_size, settings.max_groups_per_document
    number = concatenated_ranges(np.zeros_like(whole), whole)
    firsts: np.ndarray = np.repeat(starts, whole) + number * size
    if limit is None:
        return firsts
    drawn = np.ones(len(firsts), bool)
    long = np.flatnonzero(whole > limit)
    before = np.cumsum(whole) - whole
    for document, name in zip(long, store.document_ids(members[starts[long]]), strict=True):
        # Seeded by the document, so that one document's draw does not depend on the others.
        kept = draw(list(range(whole[document])), limit, random.Random(f"{seed}:{name}"))
        drawn[before[document] : before[document] + whole[document]] = False
        drawn[before[document] + np.array(kept)] = True
    chosen: np.ndarray = firsts[drawn]
    return chosen

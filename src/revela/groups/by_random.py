"""Groups of chunks that have nothing in common but the corpus."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from revela.groups.caps import limit_documents
from revela.groups.formed import RANDOM, Formed
from revela.settings.batches import BatchesSettings

if TYPE_CHECKING:
    from revela.chunks.store import ChunkStore


def form_by_random(store: ChunkStore, members: np.ndarray, settings: BatchesSettings, seed: int) -> Formed:
    """Shuffle the chunks and cut them into groups; fewer than a group is left over.

    A document gives as many chunks as ``max_groups_per_document`` whole groups have.
    """
    size, limit = settings.group_size, settings.max_groups_per_document
    kept, over = limit_documents(store, members, limit and limit * size, seed)
    shuffled = np.random.default_rng(seed).permutation(kept)
    whole = len(kept) // size * size
    groups = shuffled[:whole].reshape(-1, size)
    spare = {"incomplete_group": np.sort(shuffled[whole:])}
    return Formed(groups, [RANDOM] * len(groups), Counter(group_limit_of_document=over), spare)

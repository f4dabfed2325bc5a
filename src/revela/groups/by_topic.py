"""Groups of the most related chunks, whatever documents and sources they come from."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from revela.groups.caps import limit_documents
from revela.groups.formed import TOPIC, Formed, count_words_of
from revela.groups.related_groups import related_groups
from revela.settings.batches import BatchesSettings

if TYPE_CHECKING:
    from revela.chunks.store import ChunkStore


def form_by_topic(store: ChunkStore, members: np.ndarray, settings: BatchesSettings, seed: int) -> Formed:
    """Group chunks by how related they are (:mod:`revela.groups.relatedness`).

    At most ``topic_chunks_per_document`` chunks of a document are in one group, and no more of it in all
    than ``max_groups_per_document`` whole groups have. Chunks for which no group was found that is more
    related than chance allows are left out as ``no_relatives``.
    """
    size, limit = settings.group_size, settings.max_groups_per_document
    kept, over = limit_documents(store, members, limit and limit * size, seed)
    groups, left = related_groups(
        count_words_of(store, kept, "counting words"),
        np.ones(len(kept), np.int64),
        store.document[kept],
        size,
        settings.topic_chunks_per_document,
        above_chance=True,
        seed=seed,
        description="grouping related chunks",
    )
    spare = {"no_relatives": kept[left > 0]}
    return Formed(kept[groups], [TOPIC] * len(groups), Counter(group_limit_of_document=over), spare)

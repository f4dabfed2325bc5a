"""Groups of neighbours: chunks of one document, or of documents that stand side by side."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from revela.batches.schema import Chunk
from revela.corpus.text_key import text_key

WHOLE_DOCUMENT = "whole_document"
JOINED = "joined"


@dataclass(frozen=True)
class Group:
    """Chunks that are trained together; `kind` is ``whole_document`` or ``joined``."""

    kind: str
    chunks: list[Chunk]


@dataclass
class Grouping:
    """Groups in the order of training, and chunks left out by reason.

    Reasons: ``duplicate_chunk``, ``incomplete_group`` (too few left over in a source),
    ``group_limit_of_document`` and ``group_limit`` (not drawn under the limits).
    """

    groups: list[Group] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    longest_document: tuple[str, int] = ("", 0)


def group_by_document(
    documents: Iterable[list[Chunk]],
    group_size: int,
    seed: int,
    max_groups_per_document: int | None = None,
    max_groups: int | None = None,
) -> Grouping:
    """Cut each document's chunks into groups of `group_size` consecutive ones.

    What is over in a document is joined with what is over in the next ones of the same source. No
    text occurs twice in the result, white space aside. All choices depend on `seed` alone.

    Args:
        documents: chunks of one document each, all of one source, in the order of ids within it.
        group_size: B, chunks a group.
        seed: for the draws under the two limits and for the order of the groups.
        max_groups_per_document: whole groups drawn from one document at most; None keeps all.
        max_groups: groups drawn in all at most; None keeps all.
    """
    result = Grouping()
    seen: set[bytes] = set()
    over: dict[str, list[Chunk]] = defaultdict(list)
    groups: list[Group] = []
    for chunks in documents:
        chunks = _without_duplicates(chunks, seen, result.dropped)
        if not chunks:
            continue
        if len(chunks) > result.longest_document[1]:
            result.longest_document = (chunks[0].document_id, len(chunks))
        whole = _cut(chunks, group_size)
        over[chunks[0].source].extend(chunks[len(whole) * group_size :])
        # Seeded by the document, so that one document's draw does not depend on the others.
        drawn = _draw(whole, max_groups_per_document, random.Random(f"{seed}:{chunks[0].document_id}"))
        result.dropped["group_limit_of_document"] += (len(whole) - len(drawn)) * group_size
        groups.extend(Group(WHOLE_DOCUMENT, members) for members in drawn)
    for chunks in over.values():
        joined = _cut(chunks, group_size)
        result.dropped["incomplete_group"] += len(chunks) - len(joined) * group_size
        groups.extend(Group(JOINED, members) for members in joined)

    order = random.Random(f"{seed}:groups")
    result.groups = _draw(groups, max_groups, order)
    result.dropped["group_limit"] += (len(groups) - len(result.groups)) * group_size
    order.shuffle(result.groups)
    return result


def _without_duplicates(chunks: list[Chunk], seen: set[bytes], dropped: Counter[str]) -> list[Chunk]:
    kept = []
    for chunk in chunks:
        key = text_key(chunk.text)
        if key in seen:
            dropped["duplicate_chunk"] += 1
        else:
            seen.add(key)
            kept.append(chunk)
    return kept


def _cut(chunks: list[Chunk], size: int) -> list[list[Chunk]]:
    """Full groups only: floor(n / size) of them."""
    return [chunks[start : start + size] for start in range(0, len(chunks) - size + 1, size)]


def _draw(items: list, limit: int | None, generator: random.Random) -> list:
    """At most `limit` items, drawn without replacement, in their old order."""
    if limit is None or len(items) <= limit:
        return list(items)
    return [items[index] for index in sorted(generator.sample(range(len(items)), limit))]

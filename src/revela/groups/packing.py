"""Groups of the most related among a few thousand texts, by all their similarities."""

from __future__ import annotations

import numpy as np


def pack(
    similarity: np.ndarray,
    sizes: np.ndarray,
    documents: np.ndarray,
    group_size: int,
    most_of_document: int,
    floor: float,
    generator: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Greedy groups: a seed, then again and again what is most related, on average, to those in the group.

    A unit is one chunk, or several of one document that stay together: it is cut only where it is larger
    than the room that is left. Seeds come in random order, for good seeds first would leave the rest to
    each other. A group that is not found, or that is less related than `floor`, costs its seed alone; the
    others stay to be found. The seed itself must reach the floor, too: others may be related to each other
    only, and belong elsewhere.

    Args:
        similarity: (n, n) float32, relatedness of units.
        sizes: (n,) chunks a unit, each at least 1.
        documents: (n,) number of the document of each unit.
        group_size: B.
        most_of_document: units of one document in a group at most.
        floor: least mean relatedness of all pairs of a group and of those with its seed, for units of one
            chunk; -inf takes all.

    Returns:
        (groups, B) numbers of units, a unit once for each of its chunks, taken from its front; and (n,)
        chunks left over in every unit.
    """
    left = sizes.copy()
    waiting = sizes > 0
    groups: list[list[int]] = []
    pairs = group_size * (group_size - 1) / 2
    for seed in generator.permutation(len(sizes)):
        if not waiting[seed]:
            continue
        waiting[seed] = False
        taken = {int(seed): int(left[seed])}
        of_document = {int(documents[seed]): 1}
        total = np.where(waiting, similarity[seed] * np.float32(left[seed]), -np.inf)
        room, inside = group_size - int(left[seed]), 0.0
        if most_of_document == 1:
            total[documents == documents[seed]] = -np.inf
        while room > 0:
            best = int(total.argmax())
            if total[best] == -np.inf:
                break
            taken[best] = chunks = min(int(left[best]), room)
            room -= chunks
            inside += float(total[best])
            total += similarity[best] * np.float32(chunks)
            total[best] = -np.inf
            document = int(documents[best])
            of_document[document] = of_document.get(document, 0) + 1
            if of_document[document] == most_of_document:
                total[documents == document] = -np.inf
        with_seed = float(similarity[seed, list(taken)].sum() - similarity[seed, seed])
        if room > 0 or inside / pairs < floor or with_seed / (group_size - 1) < floor:
            continue
        groups.append([unit for unit, chunks in taken.items() for _ in range(chunks)])
        for unit, chunks in taken.items():
            left[unit] -= chunks
            waiting[unit] = left[unit] > 0
    return np.array(groups, np.int64).reshape(-1, group_size), left

"""Several strategies side by side, each with its share of the groups and its sources."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import numpy as np

from revela.errors import RevelaError
from revela.groups.formed import Formed, runs
from revela.settings.batches import BatchesSettings, MixtureComponent

if TYPE_CHECKING:
    from revela.chunks.store import ChunkStore

Strategy = Callable[["ChunkStore", np.ndarray, BatchesSettings, int], Formed]

_ROUNDS = 200


def form_mixture(
    store: ChunkStore,
    members: np.ndarray,
    settings: BatchesSettings,
    seed: int,
    strategies: Mapping[str, Strategy],
) -> Formed:
    """Deal the documents out to the components and let each form its groups.

    A component's weight over the sum of all weights is its share of the groups in the result, to within one
    group: :func:`revela.groups.caps.draw_groups` cuts what is too many. So that little has to be cut,
    documents are dealt out in proportion to the weights as far as the components' sources allow. A
    document goes to one component, whole, by a hash of the seed and its id: to the same one whatever other
    documents there are, as long as the shares stay the same.

    Raises:
        RevelaError: a component's sources match no document, or give it no group.
    """
    eligible = eligible_sources(store, members, settings.mixture)
    shares = dealing(np.bincount(store.source[members], minlength=len(store.sources)), eligible, settings)
    belongs = _component_of(store, members, shares, seed)
    parts = []
    for number, component in enumerate(settings.mixture):
        own = members[belongs == number]
        formed = strategies[component.strategy](store, own, settings, seed + number)
        if len(formed.groups) == 0:
            raise RevelaError(
                f"batches.mixture[{number}] ({component.strategy} over {', '.join(component.sources)}): no "
                f"group of {settings.group_size} from its {len(own)} chunks. Give it more sources or more "
                "weight, or leave it out."
            )
        formed.component[:] = number
        parts.append(formed)
    spare: dict[str, list[np.ndarray]] = {}
    for part in parts:
        for reason, chunks in part.spare.items():
            spare.setdefault(reason, []).append(chunks)
    dropped = sum((part.dropped for part in parts), Counter(no_component=int((belongs < 0).sum())))
    return Formed(
        np.concatenate([part.groups for part in parts]),
        [kind for part in parts for kind in part.kinds],
        dropped,
        {reason: np.sort(np.concatenate(chunks)) for reason, chunks in spare.items()},
        np.concatenate([part.component for part in parts]),
    )


def eligible_sources(
    store: ChunkStore, members: np.ndarray, components: Sequence[MixtureComponent]
) -> np.ndarray:
    """(components, sources) bool: which sources a component may take from.

    Raises:
        RevelaError: a component may take from none that has a chunk.
    """
    present = np.bincount(store.source[members], minlength=len(store.sources)) > 0
    eligible = np.array(
        [
            [any(fnmatchcase(source, pattern) for pattern in component.sources) for source in store.sources]
            for component in components
        ]
    )
    for number, component in enumerate(components):
        if not (eligible[number] & present).any():
            names = ", ".join(store.sources[code] for code in np.flatnonzero(present)[:10])
            raise RevelaError(
                f"batches.mixture[{number}].sources: {', '.join(component.sources)} matches none of the "
                f"corpus's sources ({names}). Correct the patterns; * stands for anything."
            )
    return eligible


def dealing(chunks: np.ndarray, eligible: np.ndarray, settings: BatchesSettings) -> np.ndarray:
    """Which share of each source goes to which component.

    Iterative proportional fitting (Deming and Stephan 1940): every source is dealt out whole among the
    components that may take from it, and the components' totals are scaled again and again to the weights.
    Where the sources do not allow the weights, what a scarce component may take goes to it.

    Args:
        chunks: (sources,) chunks of each.
        eligible: (components, sources) bool.

    Returns:
        (components, sources) float64; a column sums to 1, or to 0 where no component may take.
    """
    weights = np.array([component.weight for component in settings.mixture])
    wanted = weights / weights.sum() * chunks[eligible.any(axis=0)].sum()
    shares = eligible * weights[:, None]
    for _ in range(_ROUNDS):
        columns = shares.sum(axis=0)
        shares = shares / np.where(columns > 0, columns, 1)
        totals = shares @ chunks
        shares = shares * (wanted / np.maximum(totals, 1e-12))[:, None]
    columns = shares.sum(axis=0)
    # Rounded, so that adding a document that changes no share noticeably moves few others.
    rounded: np.ndarray = np.round(shares / np.where(columns > 0, columns, 1), 3)
    return rounded


def _component_of(store: ChunkStore, members: np.ndarray, shares: np.ndarray, seed: int) -> np.ndarray:
    """(members,) number of the component of each chunk's document; -1 for none."""
    starts, lengths = runs(store.document[members])
    firsts = members[starts]
    places = np.array([_unit(f"{seed}:{name}") for name in store.document_ids(firsts)])
    ends = np.cumsum(shares, axis=0)[:, store.source[firsts]]
    total = ends[-1]
    component = (places * total >= ends).sum(axis=0)
    return np.repeat(np.where(total > 0, component, -1), lengths)


def _unit(key: str) -> float:
    """A number in [0, 1) from the key alone."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=6).digest(), "big") / 2**48

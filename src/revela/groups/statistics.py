"""What the groups are like: documents, sources, tokens, and how related their chunks are beside chance."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from revela.corpus.schema import described
from revela.groups.formed import Formed, group_iter
from revela.groups.relatedness import CHANCE_QUANTILE, Bm25, evenly_spaced, mean_pairwise, random_groups
from revela.groups.word_counts import count_words
from revela.progress import track

if TYPE_CHECKING:
    from revela.chunks.store import ChunkStore

STATISTICS_SCHEMA = pa.schema(
    [
        described("group", pa.int64(), "number of the group, as in groups-*.parquet"),
        described("kind", pa.string(), "whole_document, joined, topic or random"),
        described("documents", pa.int32(), "different documents in the group"),
        described("sources", pa.int32(), "different sources in the group"),
        described("tokens", pa.int32(), "tokens of its chunks together"),
        described("relatedness", pa.float32(), "mean symmetric BM25 of its pairs of chunks, from 0 to 1"),
    ]
)

_RANDOM_GROUPS = 2000
_GROUPS_AT_ONCE = 128


@dataclass(frozen=True)
class Statistics:
    """One entry a group in the order of training.

    Attributes:
        kinds: of the groups.
        documents: (groups,) different documents.
        sources: (groups,) different sources.
        tokens: (groups,) tokens.
        relatedness: (groups,) float32, see :mod:`revela.groups.relatedness`.
        random: (random groups,) float32, the same for groups drawn at random from the same chunks.
    """

    kinds: list[str]
    documents: np.ndarray
    sources: np.ndarray
    tokens: np.ndarray
    relatedness: np.ndarray
    random: np.ndarray

    @classmethod
    def of(cls, store: ChunkStore, formed: Formed, members: np.ndarray, seed: int) -> Statistics:
        """Of the final groups.

        Args:
            members: chunks from which groups were formed; the frequencies of words are theirs, taken
                from at most 50 000 that are spread evenly over them.
        """
        groups, size = formed.groups, formed.groups.shape[1]
        bm25 = Bm25.of(count_words(store.iter_texts(evenly_spaced(members), 2048)))
        control = random_groups(np.sort(groups.ravel()), size, min(len(groups), _RANDOM_GROUPS), seed)
        return cls(
            formed.kinds,
            _different(store.document[groups]),
            _different(store.source[groups]),
            store.tokens[groups].sum(axis=1),
            _relatedness(store, groups, bm25, "measuring groups"),
            _relatedness(store, control, bm25, "measuring random groups"),
        )

    @property
    def chance(self) -> float:
        """The relatedness that one random group in ten exceeds."""
        return float(np.quantile(self.random, CHANCE_QUANTILE))

    def metrics(self) -> dict[str, Any]:
        """The part of ``metrics.json`` that is about whole groups."""
        of_kind = {kind: np.array([each == kind for each in self.kinds]) for kind in sorted(set(self.kinds))}
        return {
            "documents_per_group": _counted(self.documents),
            "sources_per_group": _counted(self.sources),
            "tokens_per_group": _summary(self.tokens, 1),
            "relatedness": {
                "groups": _summary(self.relatedness, 4),
                "random_groups": _summary(self.random, 4),
                "by_kind": {kind: _summary(self.relatedness[chosen], 4) for kind, chosen in of_kind.items()},
                "groups_no_more_related_than_chance": {
                    kind: int((self.relatedness[chosen] <= self.chance).sum())
                    for kind, chosen in of_kind.items()
                },
            },
        }

    def write(self, path: Path) -> None:
        """One row a group (:data:`STATISTICS_SCHEMA`)."""
        columns = [
            np.arange(len(self.kinds)),
            self.kinds,
            self.documents,
            self.sources,
            self.tokens,
            self.relatedness,
        ]
        arrays = [
            pa.array(column, field.type) for column, field in zip(columns, STATISTICS_SCHEMA, strict=True)
        ]
        pq.write_table(pa.Table.from_arrays(arrays, schema=STATISTICS_SCHEMA), path, compression="zstd")


def _relatedness(store: ChunkStore, groups: np.ndarray, bm25: Bm25, description: str) -> np.ndarray:
    size = groups.shape[1]
    steps = -(-len(groups) // _GROUPS_AT_ONCE)
    parts = [
        mean_pairwise(bm25.vectors(count_words([store.texts(some.ravel())])), size)
        for some in track(group_iter(groups, _GROUPS_AT_ONCE), description, total=steps)
    ]
    return np.concatenate(parts).astype(np.float32)


def _different(values: np.ndarray) -> np.ndarray:
    """(groups, size) -> (groups,) number of different values in each row."""
    ordered = np.sort(values, axis=1)
    changes: np.ndarray = (ordered[:, 1:] != ordered[:, :-1]).sum(axis=1)
    return 1 + changes


def _counted(values: np.ndarray) -> dict[str, int]:
    return {str(value): count for value, count in sorted(Counter(values.tolist()).items())}


def _summary(values: np.ndarray, digits: int) -> dict[str, float]:
    """Mean and three quantiles."""
    low, median, high = np.quantile(values, [0.1, 0.5, 0.9])
    named = {"mean": values.mean(dtype=np.float64), "p10": low, "p50": median, "p90": high}
    return {name: round(float(value), digits) for name, value in named.items()}

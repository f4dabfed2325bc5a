"""What the report shows beside counts: lengths, and some of what every rule dropped."""

from __future__ import annotations

import heapq
from collections import defaultdict
from typing import Any

import numpy as np
import pyarrow as pa

from revela.corpus.plots import length_histogram
from revela.corpus.report import Lengths, Sample


class Shown:
    """Gathers while the corpus is written; memory holds the samples and two histograms.

    Samples are those with the smallest hashes of their ids: spread over the whole corpus, and mostly the
    same ones when it has grown.

    Args:
        samples_per_reason: at most so many of every reason.
    """

    def __init__(self, samples_per_reason: int) -> None:
        self._limit = samples_per_reason
        self._before = length_histogram(np.zeros(0, np.int64))
        self._after = length_histogram(np.zeros(0, np.int64))
        self._dropped: dict[str, list[tuple[int, int, Sample]]] = defaultdict(list)
        self._seen = 0

    def add_lengths(self, table: pa.Table, is_kept: np.ndarray) -> None:
        """Columns words_read, words and malformed of a part; `is_kept` has a value a row."""
        is_document = ~np.asarray(table["malformed"])
        self._before = self._before + length_histogram(np.asarray(table["words_read"])[is_document])
        self._after = self._after + length_histogram(np.asarray(table["words"])[is_kept])

    def add_dropped(self, row: dict[str, Any]) -> None:
        """A dropped document: keys id, source, reason, detail, text and id_hash."""
        self._seen += 1
        heap = self._dropped[row["reason"]]
        # A heap gives up its smallest entry first: negated, the largest hash; of equal ones the later.
        place = (-row["id_hash"], -self._seen)
        if len(heap) < self._limit or (heap and place > heap[0][:2]):
            sample = Sample(row["id"], row["source"], row["reason"], row["detail"], row["text"])
            change = heapq.heappush if len(heap) < self._limit else heapq.heapreplace
            change(heap, (*place, sample))

    @property
    def lengths(self) -> Lengths:
        return Lengths(self._before, self._after)

    @property
    def samples(self) -> list[Sample]:
        """Ordered by reason; within one, in the order of the corpus."""
        return [
            sample
            for reason in sorted(self._dropped)
            for _, _, sample in sorted(self._dropped[reason], key=lambda entry: -entry[1])
        ]

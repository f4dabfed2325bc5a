"""What a run of the stage counts, and the books that must balance."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa

from revela.corpus.schema import Malformed
from revela.errors import RevelaError
from revela.settings import CorpusSettings

_FIRST_FAULTS = 5


@dataclass
class SourceCounts:
    """Documents and text of one source; `characters` and `words` are of what was kept."""

    read: int = 0
    kept: int = 0
    characters: int = 0
    words: int = 0
    malformed: int = 0
    dropped: Counter[str] = field(default_factory=Counter)


@dataclass
class Counts:
    """Everything that is counted, by source; totals are sums over sources."""

    records: int = 0
    sources: dict[str, SourceCounts] = field(default_factory=dict)
    malformed_reasons: Counter[str] = field(default_factory=Counter)
    edits: Counter[str] = field(default_factory=Counter)
    edited_documents: Counter[str] = field(default_factory=Counter)
    renamed_ids: int = 0
    first_faults: list[Malformed] = field(default_factory=list)

    def of(self, source: str) -> SourceCounts:
        return self.sources.setdefault(source, SourceCounts())

    def add_malformed(self, fault: Malformed) -> None:
        self.of(fault.source).malformed += 1
        self.malformed_reasons[fault.reason] += 1
        if len(self.first_faults) < _FIRST_FAULTS:
            self.first_faults.append(fault)

    def add_kept(self, rows: pa.Table) -> None:
        """Count kept documents: columns source, words_read, words, characters, edits (JSON or empty)."""
        for source, words, characters, edits in zip(
            *(rows[name].to_pylist() for name in ("source", "words", "characters", "edits")), strict=True
        ):
            of_source = self.of(source)
            of_source.read += 1
            of_source.kept += 1
            of_source.words += words
            of_source.characters += characters
            if edits:
                made = json.loads(edits)
                self.edits.update(made)
                self.edited_documents.update(made.keys())

    def add_dropped(self, row: dict[str, Any]) -> None:
        """Count a dropped document: keys source and reason."""
        of_source = self.of(row["source"])
        of_source.read += 1
        of_source.dropped[row["reason"]] += 1

    def total(self, name: str) -> int:
        return sum(getattr(counts, name) for counts in self.sources.values())

    def dropped(self) -> dict[str, int]:
        return _ordered(sum((counts.dropped for counts in self.sources.values()), Counter()))

    def as_metrics(self) -> dict[str, Any]:
        return {
            "records": self.records,
            "documents_read": self.total("read"),
            "documents_kept": self.total("kept"),
            "documents_dropped": sum(self.dropped().values()),
            "dropped_by_reason": self.dropped(),
            "rows_malformed": self.total("malformed"),
            "malformed_by_reason": _ordered(self.malformed_reasons),
            "renamed_ids": self.renamed_ids,
            "edits": _ordered(self.edits),
            "edited_documents": _ordered(self.edited_documents),
            "characters_kept": self.total("characters"),
            "words_kept": self.total("words"),
            "sources": {
                source: asdict(counts) | {"dropped": _ordered(counts.dropped)}
                for source, counts in self.sources.items()
            },
        }

    def check(self, settings: CorpusSettings) -> None:
        """Raise what is wrong with the run as a whole.

        Raises:
            RevelaError: too many rows are malformed, or nothing is left.
            AssertionError: a record was neither kept nor dropped nor refused: a bug of ours.
        """
        accounted = self.total("kept") + sum(self.dropped().values()) + self.total("malformed")
        if accounted != self.records:
            raise AssertionError(f"{self.records} records were read, but {accounted} are accounted for")
        bad = self.total("malformed")
        if bad > settings.max_malformed_share * self.records:
            places = "\n".join(f"  {fault.place}: {fault.what}" for fault in self.first_faults)
            raise RevelaError(
                f"corpus: {bad} of {self.records} rows are malformed ({bad / self.records:.1%}), above "
                f"corpus.max_malformed_share ({settings.max_malformed_share:.1%}). The first:\n{places}"
            )
        if self.total("kept") == 0:
            reasons = ", ".join(f"{reason}: {count}" for reason, count in self.dropped().items())
            raise RevelaError(
                f"corpus: no document is left of {self.total('read')} read "
                f"({reasons or 'the sources are empty'}). Loosen the rules under corpus.filters, or add "
                "sources."
            )


def _ordered(counter: Counter[str]) -> dict[str, int]:
    return dict(sorted(counter.items()))

"""A text of a benchmark, and whether a document shares a run of words with such."""

from __future__ import annotations

from corpora import document

from revela.corpus.decontaminate import BenchmarkOverlap
from revela.corpus.filters.base import View

FUNCTION = """
def shuffle(items, generator):
    for index in reversed(range(1, len(items))):
        other = generator.randrange(index + 1)
        items[index], items[other] = items[other], items[index]
"""


def overlap(protected: str | list[str], text: str, words: int = 13) -> str | None:
    protected = [protected] if isinstance(protected, str) else protected
    return BenchmarkOverlap(protected, words)(View(document(text)))

"""What every benchmark is: texts by id, and which documents answer which query."""

from __future__ import annotations

from dataclasses import dataclass

from revela.errors import RevelaError


@dataclass(frozen=True)
class Benchmark:
    """A retrieval benchmark in memory.

    Attributes:
        name: the name under which its scores are reported.
        corpus: document id -> text.
        queries: query id -> text; each has at least one relevant document.
        qrels: query id -> {document id: grade}; a grade above 0 is relevant.
        description: one line on what it is, for reports.
        code: documents are code, so BM25 is also run with identifiers split.
    """

    name: str
    corpus: dict[str, str]
    queries: dict[str, str]
    qrels: dict[str, dict[str, int]]
    description: str
    code: bool

    def judged_documents(self) -> dict[str, str]:
        """The part of the corpus that has a judgement for some query, in the corpus's order."""
        judged = {document for judgements in self.qrels.values() for document in judgements}
        return {key: text for key, text in self.corpus.items() if key in judged}

    def check(self) -> Benchmark:
        """Return this benchmark if it is coherent.

        Raises:
            RevelaError: it has no queries or documents, its queries and judgements differ, a judged
                document is not in the corpus, or a query has no relevant document.
        """
        if not self.corpus or not self.queries:
            raise RevelaError(
                f"benchmark '{self.name}': {len(self.queries)} queries and {len(self.corpus)} documents; "
                "at least one of each is needed."
            )
        if self.queries.keys() != self.qrels.keys():
            odd = min(self.queries.keys() ^ self.qrels.keys())
            raise RevelaError(f"benchmark '{self.name}': query '{odd}' lacks its text or its judgements.")
        for query, judgements in self.qrels.items():
            missing = [document for document in judgements if document not in self.corpus]
            if missing:
                raise RevelaError(
                    f"benchmark '{self.name}': document '{missing[0]}', judged for query '{query}', "
                    "is not in the corpus."
                )
            if max(judgements.values(), default=0) <= 0:
                raise RevelaError(f"benchmark '{self.name}': query '{query}' has no relevant document.")
        return self

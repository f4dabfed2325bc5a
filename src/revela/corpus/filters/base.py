"""What a rule is: a document in, keep or drop out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from revela.corpus.schema import Document


class Rule(ABC):
    """One bare rule. The pipeline counts its drops and keeps them aside under `reason`."""

    reason: ClassVar[str]  # stable: statistics and tests use it as a key

    @abstractmethod
    def __call__(self, document: Document) -> bool:
        """True to keep the document."""

    def detail(self, document: Document) -> str:
        """What was measured on a document that this rule has just dropped; for a reader."""
        return ""

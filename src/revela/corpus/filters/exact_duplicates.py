"""The same text twice, whatever its line ends and indentation."""

import hashlib

from revela.corpus.filters.base import Rule
from revela.corpus.schema import Document


def text_key(text: str) -> bytes:
    """16 bytes that are equal for texts that differ in white space only."""
    return hashlib.blake2b(" ".join(text.split()).encode(), digest_size=16).digest()


class ExactDuplicates(Rule):
    """Keeps the first of all documents, over all sources, with the same words.

    It remembers what it has let through (16 bytes a document), so it belongs at the end of the
    rules: a document counts as a duplicate only of one that was kept.
    """

    reason = "exact_duplicate"

    def __init__(self) -> None:
        self._kept: dict[bytes, str] = {}

    def __call__(self, document: Document) -> bool:
        return self._kept.setdefault(text_key(document.text), document.id) == document.id

    def detail(self, document: Document) -> str:
        return f"same text as {self._kept[text_key(document.text)]}"

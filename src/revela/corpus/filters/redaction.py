"""What is done with spans of a text that nobody should learn: cut out, or the document dropped."""

from __future__ import annotations

from collections.abc import Callable

from revela.corpus.filters.base import Cleaner, Rule, View
from revela.corpus.schema import Document

# (start, end) of each span to hide, in order and apart from each other.
Finder = Callable[[str], list[tuple[int, int]]]


class Redactor(Cleaner):
    """Puts ``<name>`` where the finder found something.

    Args:
        name: ``email``, ``secret`` or ``ip_address``.
        find: must find nothing in ``<name>``.
    """

    def __init__(self, name: str, find: Finder) -> None:
        self.name = name  # type: ignore[misc]
        self._find = find

    def __call__(self, document: Document) -> tuple[str, int]:
        text = document.text
        spans = self._find(text)
        if not spans:
            return text, 0
        parts, at = [], 0
        for start, end in spans:
            parts += [text[at:start], f"<{self.name}>"]
            at = end
        return "".join([*parts, text[at:]]), len(spans)


class Holds(Rule):
    """Drops a document in which the finder finds something."""

    def __init__(self, name: str, find: Finder) -> None:
        self.reason = name  # type: ignore[misc]
        self._find = find

    def __call__(self, view: View) -> str | None:
        count = len(self._find(view.text))
        return f"{count} found, none wanted" if count else None

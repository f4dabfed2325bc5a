"""Minified code and embedded data show in a line that nobody would write."""

from revela.corpus.filters.base import Rule
from revela.corpus.schema import PROSE_KINDS, Document


class MaxLineLength(Rule):
    """Keeps documents whose longest line has at most `maximum` characters; prose always passes.

    Codex dropped files with a line above 1000 characters (Chen et al. 2021, arXiv 2107.03374,
    section 3.1); twice that here, to drop data and keep a long literal. Prose is exempt because
    there a line may be a whole paragraph.
    """

    reason = "long_line"

    def __init__(self, maximum: int) -> None:
        self.maximum = maximum

    def __call__(self, document: Document) -> bool:
        return document.kind in PROSE_KINDS or self._longest(document) <= self.maximum

    def detail(self, document: Document) -> str:
        return f"a line of {self._longest(document)} characters, at most {self.maximum} wanted"

    def _longest(self, document: Document) -> int:
        return max(map(len, document.text.splitlines()), default=0)

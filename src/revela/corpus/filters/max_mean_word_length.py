"""Encoded data (base64, hex, keys) has words of no human length."""

from revela.corpus.filters.base import Rule
from revela.corpus.schema import Document


class MaxMeanWordLength(Rule):
    """Keeps documents whose words (runs of non-space characters) have a mean length of at most `maximum`.

    Gopher allows 3 to 10 characters for prose (arXiv 2112.11446, appendix A.1). Code glues its words
    together (``self.assertEqual(first.second``) and some scripts write no spaces at all, hence 30.
    """

    reason = "long_words"

    def __init__(self, maximum: float) -> None:
        self.maximum = maximum

    def __call__(self, document: Document) -> bool:
        return self._mean(document) <= self.maximum

    def detail(self, document: Document) -> str:
        return f"mean word length {self._mean(document):.1f}, at most {self.maximum:g} wanted"

    def _mean(self, document: Document) -> float:
        words = document.text.split()
        return sum(map(len, words)) / len(words) if words else 0.0

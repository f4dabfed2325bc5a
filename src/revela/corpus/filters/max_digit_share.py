"""Tables of numbers are not text."""

import re

from revela.corpus.filters.base import Rule
from revela.corpus.schema import Document

_DIGITS = re.compile(r"\d+")


class MaxDigitShare(Rule):
    """Keeps documents in which at most `maximum` of the non-space characters are digits.

    The default of 0.3 is ours: lookup tables and test vectors lie above it, numerical code below.
    """

    reason = "mostly_digits"

    def __init__(self, maximum: float) -> None:
        self.maximum = maximum

    def __call__(self, document: Document) -> bool:
        return self._share(document) <= self.maximum

    def detail(self, document: Document) -> str:
        return f"digit share {self._share(document):.2f}, at most {self.maximum:g} wanted"

    def _share(self, document: Document) -> float:
        visible = sum(map(len, document.text.split()))
        return sum(map(len, _DIGITS.findall(document.text))) / visible if visible else 0.0

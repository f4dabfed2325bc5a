"""Text that says the same line again and again."""

from revela.corpus.filters.base import Rule
from revela.corpus.schema import Document


class MaxRepeatedLineShare(Rule):
    """Keeps documents in which at most `maximum` of the non-blank lines stood there before.

    Gopher's bound for web pages is 0.30 (arXiv 2112.11446, table A1, "duplicate line fraction").
    Code repeats ``)``, ``else:`` and the description of a parameter by nature: files of scikit-learn
    reach 0.6, hence the default of 0.7.
    """

    reason = "repeated_lines"

    def __init__(self, maximum: float) -> None:
        self.maximum = maximum

    def __call__(self, document: Document) -> bool:
        return self._share(document) <= self.maximum

    def detail(self, document: Document) -> str:
        return f"repeated line share {self._share(document):.2f}, at most {self.maximum:g} wanted"

    def _share(self, document: Document) -> float:
        lines = [line for line in map(str.strip, document.text.splitlines()) if line]
        return 1 - len(set(lines)) / len(lines) if lines else 0.0

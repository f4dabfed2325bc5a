"""Longer than anything that one wants to read as one document, in words."""

from revela.corpus.filters.base import Rule, View


class MaxWords(Rule):
    """Keeps documents of at most `maximum` words; every kind.

    Gopher's bound for web pages is 100 000 (arXiv 2112.11446, appendix A.1). Off by default:
    `max_characters` bounds the length, and books are welcome.
    """

    reason = "too_many_words"

    def __init__(self, maximum: int) -> None:
        self.maximum = maximum

    def __call__(self, view: View) -> str | None:
        if len(view.words) <= self.maximum:
            return None
        return f"{len(view.words)} words, at most {self.maximum} wanted"

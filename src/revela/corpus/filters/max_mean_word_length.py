"""Encoded data (base64, hex, keys) has words of no human length."""

from revela.corpus.filters.base import Rule, View


class MaxMeanWordLength(Rule):
    """Keeps documents whose words (runs of non-space characters) have a mean length of at most `maximum`.

    Gopher allows 3 to 10 characters for prose (arXiv 2112.11446, appendix A.1). Code glues its words
    together (``self.assertEqual(first.second``) and some scripts write no spaces at all, hence 30.
    """

    reason = "long_words"

    def __init__(self, maximum: float) -> None:
        self.maximum = maximum

    def __call__(self, view: View) -> str | None:
        if view.mean_word_length <= self.maximum:
            return None
        return f"mean word length {view.mean_word_length:.1f}, at most {self.maximum:g} wanted"

"""The same phrases again and again."""

from collections.abc import Mapping

from revela.corpus.filters.base import Rule, View
from revela.corpus.filters.ngrams import repeated_share

_FEWEST_WORDS = 50


class MaxRepeatedNgramCharacters(Rule):
    """Keeps prose in which runs of n words that stood there before hold at most a share of the characters.

    0.15, 0.14, 0.13, 0.12, 0.11 and 0.10 for n = 5 to 10 are Gopher's (arXiv 2112.11446, table A1,
    "duplicate n-gram character fraction"); a character in several such runs counts once. Code passes,
    and so do texts under 50 words, Gopher's own least length. Technical text has three times
    the room, see :class:`View`.

    Args:
        maxima: n -> the largest share.
    """

    reason = "repeated_ngrams"

    def __init__(self, maxima: Mapping[int, float]) -> None:
        self.maxima = dict(sorted(maxima.items()))

    def __call__(self, view: View) -> str | None:
        if not view.is_prose or len(view.words) < _FEWEST_WORDS:
            return None
        lowest = min(self.maxima.values()) * view.room
        for n, bound in self.maxima.items():
            maximum = bound * view.room
            share = repeated_share(view.runs, n)
            if share > maximum:
                return f"share {share:.2f} in repeated {n}-grams, at most {maximum:g} wanted"
            # What longer repeated runs cover, shorter ones cover, too.
            if share <= lowest:
                return None
        return None

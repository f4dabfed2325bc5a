"""One phrase over and over."""

from collections.abc import Mapping

from revela.corpus.filters.base import Rule, View
from revela.corpus.filters.ngrams import highest_count, top_share

# A share says little about few words: a name of four words said twice is a sixth of 50.
_FEWEST_WORDS = 50
_FEWEST_TIMES = 3


class MaxTopNgramCharacters(Rule):
    """Keeps prose in which no run of n words, said over and over, holds more than its share of characters.

    0.20, 0.18 and 0.16 for n = 2, 3 and 4 are Gopher's (arXiv 2112.11446, table A1, "top n-gram character
    fraction"). Code passes, and so do texts under 50 words, Gopher's own least length. What is said twice
    only is no repetition in this sense. Technical text has three times the room, see :class:`View`.

    Args:
        maxima: n -> the largest share.
    """

    reason = "frequent_ngram"

    def __init__(self, maxima: Mapping[int, float]) -> None:
        self.maxima = dict(sorted(maxima.items()))

    def __call__(self, view: View) -> str | None:
        if not view.is_prose or len(view.words) < _FEWEST_WORDS:
            return None
        runs = view.runs
        # No longer run is more frequent than the most frequent of the shortest, often enough to know.
        most = highest_count(runs.hashes(min(self.maxima)))
        for n, bound in self.maxima.items():
            maximum = bound * view.room
            if most < _FEWEST_TIMES:
                return None
            if most * runs.lengths(n).max(initial=0) <= maximum * runs.characters:
                continue
            share, first = top_share(runs, n)
            if share > maximum and highest_count(runs.hashes(n)) >= _FEWEST_TIMES:
                phrase = " ".join(view.words[first : first + n])
                return f"share {share:.2f} of the {n}-gram '{phrase}', at most {maximum:g} wanted"
        return None

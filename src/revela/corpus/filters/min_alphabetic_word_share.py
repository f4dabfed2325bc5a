"""Tables, formulas and drawings made of characters have few words with a letter in them."""

import re

from revela.corpus.filters.base import Rule, View

_LETTER = re.compile(r"[^\W\d_]")


class MinAlphabeticWordShare(Rule):
    """Keeps prose in which at least `minimum` of the words hold a letter of any script; code passes.

    0.8 is Gopher's (arXiv 2112.11446, appendix A.1). Technical text has three times the
    room for words without one, see :class:`View`.
    """

    reason = "few_alphabetic_words"

    def __init__(self, minimum: float) -> None:
        self.minimum = minimum

    def __call__(self, view: View) -> str | None:
        if not view.is_prose or not view.words:
            return None
        # Most words are letters alone, which is cheap to see; the others are looked at one by one.
        mixed = [word for word in view.words if not word.isalpha()]
        without = sum(_LETTER.search(word) is None for word in mixed)
        share = 1 - without / len(view.words)
        minimum = 1 - (1 - self.minimum) * view.room
        if share >= minimum:
            return None
        return f"{share:.2f} of the words hold a letter, at least {minimum:g} wanted"

"""English sentences cannot do without the, of and to; lists of key words can."""

from revela.corpus.filters.base import Rule, View

_STOP_WORDS = frozenset({"the", "be", "to", "of", "and", "that", "have", "with"})


class MinStopWords(Rule):
    """Keeps English prose with at least `minimum` different words of eight; code and other languages pass.

    The eight words and the default of 2 are Gopher's (arXiv 2112.11446, appendix A.1).
    """

    reason = "few_stop_words"

    def __init__(self, minimum: int) -> None:
        self.minimum = minimum

    def __call__(self, view: View) -> str | None:
        if not view.is_prose:
            return None
        found = len(_STOP_WORDS.intersection(view.vocabulary))
        if found >= self.minimum:
            return None
        found = len(_STOP_WORDS.intersection(map(str.lower, view.vocabulary)))
        # The language is asked last: to tell it costs more than to count words.
        if found >= self.minimum or "en" not in view.languages:
            return None
        return f"{found} different stop words, at least {self.minimum} wanted"

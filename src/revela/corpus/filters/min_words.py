"""Too short to be cut into chunks that say anything."""

from revela.corpus.filters.base import Rule, View


class MinWords(Rule):
    """Keeps documents of at least `minimum` words (runs of non-space characters).

    Gopher keeps 50 words and more of web pages (Rae et al. 2021, arXiv 2112.11446, appendix A.1);
    the default of 40 is a little lower because a word of code carries more.
    """

    reason = "too_few_words"

    def __init__(self, minimum: int) -> None:
        self.minimum = minimum

    def __call__(self, view: View) -> str | None:
        if len(view.words) >= self.minimum:
            return None
        return f"{len(view.words)} words, at least {self.minimum} wanted"

"""Prose that says the same paragraph again and again, in characters."""

from revela.corpus.filters.base import Rule, View


class MaxRepeatedParagraphCharacters(Rule):
    """Keeps prose in which paragraphs that stood there before hold at most `maximum` of the characters.

    Code passes; technical text has three times the room, see :class:`View`. 0.20 is Gopher's (arXiv
    2112.11446, table A1, "duplicate paragraph character fraction").
    """

    reason = "repeated_paragraph_characters"

    def __init__(self, maximum: float) -> None:
        self.maximum = maximum

    def __call__(self, view: View) -> str | None:
        if not view.is_prose or view.repeated_paragraph_share == 0:
            return None
        share = 1 - sum(map(len, set(view.paragraphs))) / sum(map(len, view.paragraphs))
        if share <= self.maximum * view.room:
            return None
        return f"characters in repeated paragraphs {share:.2f}, at most {self.maximum * view.room:g} wanted"

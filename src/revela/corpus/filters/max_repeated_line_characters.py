"""Prose that says the same line again and again, in characters."""

from revela.corpus.filters.base import Rule, View


class MaxRepeatedLineCharacters(Rule):
    """Keeps prose in which lines that stood there before hold at most `maximum` of the characters.

    Code passes. 0.20 is Gopher's (arXiv 2112.11446, table A1, "duplicate line character fraction"); technical
    text has three times the room, see :class:`View`.
    """

    reason = "repeated_line_characters"

    def __init__(self, maximum: float) -> None:
        self.maximum = maximum

    def __call__(self, view: View) -> str | None:
        if not view.is_prose or view.repeated_line_share == 0:
            return None
        share = 1 - sum(map(len, set(view.lines))) / sum(map(len, view.lines))
        if share <= self.maximum * view.room:
            return None
        return f"characters in repeated lines {share:.2f}, at most {self.maximum * view.room:g} wanted"

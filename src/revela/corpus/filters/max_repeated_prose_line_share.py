"""Prose that says the same line again and again, in lines."""

from revela.corpus.filters.base import Rule, View


class MaxRepeatedProseLineShare(Rule):
    """Keeps prose in which at most `maximum` of the non-blank lines stood there before; code passes.

    0.30 is Gopher's (arXiv 2112.11446, table A1, "duplicate line fraction"); code has the looser bound
    `max_repeated_line_share`. Technical text has three times the room, see :class:`View`.
    """

    reason = "repeated_prose_lines"

    def __init__(self, maximum: float) -> None:
        self.maximum = maximum

    def __call__(self, view: View) -> str | None:
        share, maximum = view.repeated_line_share, self.maximum * view.room
        if not view.is_prose or share <= maximum:
            return None
        return f"repeated line share {share:.2f}, at most {maximum:g} wanted"

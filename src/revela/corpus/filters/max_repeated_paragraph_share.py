"""Prose that says the same paragraph again and again, in paragraphs."""

from revela.corpus.filters.base import Rule, View


class MaxRepeatedParagraphShare(Rule):
    """Keeps prose in which at most `maximum` of the paragraphs stood there before; code passes.

    Paragraphs lie between blank lines. 0.30 is Gopher's (arXiv 2112.11446, table A1, "duplicate
    paragraph fraction"); technical text has three times the room, see :class:`View`.
    """

    reason = "repeated_paragraphs"

    def __init__(self, maximum: float) -> None:
        self.maximum = maximum

    def __call__(self, view: View) -> str | None:
        share, maximum = view.repeated_paragraph_share, self.maximum * view.room
        if not view.is_prose or share <= maximum:
            return None
        return f"repeated paragraph share {share:.2f}, at most {maximum:g} wanted"

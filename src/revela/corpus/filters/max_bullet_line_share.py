"""Lists without a sentence around them."""

from revela.corpus.filters.base import Rule, View

_BULLETS = ("•", "‣", "◦", "▪", "●", "- ", "* ", "+ ", "\u2013 ")


class MaxBulletLineShare(Rule):
    """Keeps prose in which at most `maximum` of the non-blank lines begin with a bullet; code passes.

    0.9 is Gopher's (arXiv 2112.11446, appendix A.1).
    """

    reason = "mostly_bullets"

    def __init__(self, maximum: float) -> None:
        self.maximum = maximum

    def __call__(self, view: View) -> str | None:
        if not view.is_prose or not view.lines:
            return None
        share = sum(line.startswith(_BULLETS) for line in view.lines) / len(view.lines)
        return (
            None
            if share <= self.maximum
            else f"bullet line share {share:.2f}, at most {self.maximum:g} wanted"
        )

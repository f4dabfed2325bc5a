"""Minified code and embedded data show in a line that nobody would write."""

from revela.corpus.filters.base import Rule, View


class MaxLineLength(Rule):
    """Keeps documents whose longest line has at most `maximum` characters; prose always passes.

    Codex dropped files with a line above 1000 characters (Chen et al. 2021, arXiv 2107.03374,
    section 3.1); twice that here, to drop data and keep a long literal. Prose is exempt because
    there a line may be a whole paragraph.
    """

    reason = "long_line"

    def __init__(self, maximum: int) -> None:
        self.maximum = maximum

    def __call__(self, view: View) -> str | None:
        if view.is_prose or view.longest_line <= self.maximum:
            return None
        return f"a line of {view.longest_line} characters, at most {self.maximum} wanted"

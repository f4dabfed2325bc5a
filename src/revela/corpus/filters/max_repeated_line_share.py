"""Text that says the same line again and again."""

from revela.corpus.filters.base import Rule, View


class MaxRepeatedLineShare(Rule):
    """Keeps documents in which at most `maximum` of the non-blank lines stood there before.

    Gopher's bound for web pages is 0.30 (arXiv 2112.11446, table A1, "duplicate line fraction").
    Code repeats ``)``, ``else:`` and the description of a parameter by nature: files of scikit-learn
    reach 0.6, hence the default of 0.7.
    """

    reason = "repeated_lines"

    def __init__(self, maximum: float) -> None:
        self.maximum = maximum

    def __call__(self, view: View) -> str | None:
        share = 1 - len(set(view.lines)) / len(view.lines) if view.lines else 0.0
        if share <= self.maximum:
            return None
        return f"repeated line share {share:.2f}, at most {self.maximum:g} wanted"

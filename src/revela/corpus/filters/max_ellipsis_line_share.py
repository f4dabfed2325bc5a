"""Teasers: lines that break off for a "read more"."""

from revela.corpus.filters.base import Rule, View


class MaxEllipsisLineShare(Rule):
    """Keeps prose in which at most `maximum` of the non-blank lines end in an ellipsis; code passes.

    0.3 is Gopher's (arXiv 2112.11446, appendix A.1).
    """

    reason = "ellipsis_lines"

    def __init__(self, maximum: float) -> None:
        self.maximum = maximum

    def __call__(self, view: View) -> str | None:
        if not view.is_prose or not view.lines or ("..." not in view.text and "…" not in view.text):
            return None
        share = sum(line.endswith(("...", "…")) for line in view.lines) / len(view.lines)
        return (
            None
            if share <= self.maximum
            else f"ellipsis line share {share:.2f}, at most {self.maximum:g} wanted"
        )

"""Lines of a running text end like sentences; those of a menu do not."""

from revela.corpus.filters.base import Rule, View

_ENDS = (".", "!", "?", '"', "'", "\u201d", "\u2019", ":", "\u3002", "\uff01", "\uff1f")


class MinPunctuatedLineShare(Rule):
    """Keeps prose in which at least `minimum` of the non-blank lines end in punctuation; code passes.

    FineWeb drops web pages at 0.12 and below (Penedo et al. 2024, arXiv 2406.17557, section 3.6); C4
    removes every single line without it. Off by default: manuals with code blocks and wrapped lines lie
    below, too.
    """

    reason = "few_punctuated_lines"

    def __init__(self, minimum: float) -> None:
        self.minimum = minimum

    def __call__(self, view: View) -> str | None:
        if not view.is_prose or not view.lines:
            return None
        share = sum(line.endswith(_ENDS) for line in view.lines) / len(view.lines)
        if share >= self.minimum:
            return None
        return f"{share:.2f} of the lines end in punctuation, at least {self.minimum:g} wanted"

"""Tables of numbers are not text."""

from revela.corpus.filters.base import Rule, View


class MaxDigitShare(Rule):
    """Keeps documents in which at most `maximum` of the non-space characters are digits.

    The default of 0.3 is ours: lookup tables and test vectors lie above it, numerical code below.
    """

    reason = "mostly_digits"

    def __init__(self, maximum: float) -> None:
        self.maximum = maximum

    def __call__(self, view: View) -> str | None:
        if view.digit_share <= self.maximum:
            return None
        return f"digit share {view.digit_share:.2f}, at most {self.maximum:g} wanted"

"""Tables written as code: line after line of numbers and strings."""

import re

from revela.corpus.filters.base import Rule, View

# Every alternative begins with another character and never gives back, so time grows with the line's length.
_LITERALS = re.compile(
    r"(?:[\s,;:(){}\[\]]++"
    r"|[-+]?\.?\d[\w.]*+"
    r"|[rbuRBU]{0,2}\"(?:[^\"\\]|\\.)*+\""
    r"|[rbuRBU]{0,2}'(?:[^'\\]|\\.)*+'"
    r"|(?:True|False|None|null|true|false)\b)++"
)
_FEWEST_LINES = 20


class MaxLiteralLineShare(Rule):
    """Keeps code in which lines of literals alone hold at most `maximum` of the characters; prose passes.

    A literal is a number, a quoted string, true, false or none. 0.9 is ours: lists of names and character
    tables lie above it, code with a long constant below. Files under 20 lines pass: they say
    little whatever they hold, and a small constants module reads well.
    """

    reason = "mostly_literals"

    def __init__(self, maximum: float) -> None:
        self.maximum = maximum

    def __call__(self, view: View) -> str | None:
        if view.is_prose or len(view.lines) < _FEWEST_LINES:
            return None
        total = sum(map(len, view.lines))
        literal = 0
        # Docstrings and comments are neither; a line inside a docstring is text to the pattern, too.
        for line in view.lines:
            if _LITERALS.fullmatch(line):
                literal += len(line)
        share = literal / total
        return (
            None
            if share <= self.maximum
            else f"literal line share {share:.2f}, at most {self.maximum:g} wanted"
        )

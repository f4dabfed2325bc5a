"""Stretches of a text, measured in tokens."""

from __future__ import annotations

import numpy as np

Span = tuple[int, int]  # first character, one past the last


class Ruler:
    """Measures stretches of a text in tokens, from the offsets of the whole text's tokens."""

    def __init__(self, offsets: list[Span], end: int) -> None:
        self._starts = np.array([start for start, _ in offsets], np.int64)
        self._ends = np.array([end for _, end in offsets], np.int64)
        self.end = end

    def token_at(self, position: int) -> int:
        """Index of the first token that begins at `position` or after."""
        return int(np.searchsorted(self._starts, position))

    def tokens(self, start: int, end: int) -> int:
        """Number of tokens that begin in [start, end)."""
        return self.token_at(end) - self.token_at(start)

    def cut_before(self, token: int) -> int | None:
        """Where the text can be cut before a token; None inside a character of several tokens."""
        if not 0 < token < len(self._starts):
            return None
        if self._ends[token - 1] > self._starts[token]:
            return None
        return int(self._ends[token - 1])

    def inside(self, token: int) -> range:
        """Positions strictly inside a token."""
        return range(int(self._starts[token]) + 1, int(self._ends[token]))


def trimmed(text: str, span: Span) -> Span | None:
    """Without blank lines at either edge; None if nothing visible is left. Indentation stays."""
    start, end = span
    body = text[start:end]
    visible = body.strip()
    if not visible:
        return None
    end = start + len(body.rstrip())
    lead = len(body) - len(body.lstrip())
    line_start = max(body.rfind("\n", 0, lead), body.rfind("\r", 0, lead)) + 1
    return start + line_start, end

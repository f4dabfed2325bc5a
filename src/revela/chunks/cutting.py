"""Where chunks begin and end in one text, given its boundaries and what its stretches cost in tokens."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from itertools import pairwise

from revela.chunks.boundaries import PARAGRAPH, SENTENCE, Boundaries
from revela.chunks.ruler import Ruler, Span


@dataclass(frozen=True)
class Cutter:
    """Cuts a text into spans that cover it.

    Args:
        max_tokens: bound for a span, by the tokens of the whole text.
        min_tokens: smaller spans are avoided.
        overlap_tokens: what a span may repeat of the one before it, from the start of a sentence, a
            line or a paragraph on, and never across a hard boundary.
    """

    max_tokens: int
    min_tokens: int
    overlap_tokens: int = 0

    def spans(self, boundaries: Boundaries, ruler: Ruler) -> list[Span]:
        """Spans of a whole text, in order. One that cannot be cut without cutting a character is too long."""
        whole = [span for span in boundaries.whole if ruler.tokens(*span) <= self.max_tokens]
        return [
            span
            for block in self._blocks(boundaries.hard, ruler)
            for span in self._split(block, boundaries, whole, ruler)
        ]

    def _blocks(self, hard: list[int], ruler: Ruler) -> list[Span]:
        """Stretches between hard boundaries, small ones packed with a neighbour.

        A small block goes with the next one (a class line with its first method) where both fit, or
        where the next one is too long and cut anyway; else with the one before where both fit.
        """
        forward: list[Span] = []
        for start, end in pairwise([0, *hard, ruler.end]):
            if forward and ruler.tokens(*forward[-1]) < self.min_tokens:
                first = forward[-1][0]
                if ruler.tokens(first, end) <= self.max_tokens or ruler.tokens(start, end) > self.max_tokens:
                    forward[-1] = (first, end)
                    continue
            forward.append((start, end))
        blocks: list[Span] = []
        for start, end in forward:
            small = ruler.tokens(start, end) < self.min_tokens
            if small and blocks and ruler.tokens(blocks[-1][0], end) <= self.max_tokens:
                blocks[-1] = (blocks[-1][0], end)
            else:
                blocks.append((start, end))
        return blocks

    def _split(self, block: Span, boundaries: Boundaries, whole: list[Span], ruler: Ruler) -> list[Span]:
        """Cut a block that is too long at the best graded boundary of each window."""
        start, end = block
        fresh = start  # where the text begins that no span has yet
        spans = []
        while (left := ruler.tokens(start, end)) > self.max_tokens:
            repeated = ruler.tokens(start, fresh)
            lowest = min(self.max_tokens, max(self.min_tokens, self.max_tokens // 2, repeated + 1))
            # Leave enough for the last chunk to stand alone.
            highest = max(lowest, min(self.max_tokens, left - self.min_tokens))
            first = ruler.token_at(start)
            search = _Search(fresh, end, boundaries.soft, whole, ruler)
            cut = search.best(range(first + highest, first + lowest - 1, -1))
            if cut is None and whole:
                # A stretch that stays whole fills the window: stop before it, else behind it.
                cut = search.best(range(first + lowest - 1, first + repeated, -1))
                cut = cut or search.best(range(first + highest + 1, first + self.max_tokens + 1))
            if cut is None and repeated:
                start = fresh  # there is no room for what would be repeated
                continue
            if cut is None:
                break  # no place that leaves characters whole
            spans.append((start, cut))
            fresh, start = cut, self._back_from(start, cut, boundaries, search)
        return [*spans, (start, end)]

    def _back_from(self, start: int, cut: int, boundaries: Boundaries, search: _Search) -> int:
        """Where the span behind a cut begins: at the cut, or earlier to repeat what stands before it."""
        last = search.ruler.token_at(cut)
        floor = boundaries.hard[bisect_right(boundaries.hard, cut) - 1] if boundaries.hard else 0
        for token in range(last - self.overlap_tokens, last):
            found = search.graded(token)
            if (
                found
                and found[0] >= SENTENCE
                and max(start + 1, floor if floor <= cut else 0) <= found[1] < cut
            ):
                return found[1]
        return cut


@dataclass(frozen=True)
class _Search:
    """Places in (above, below) of a text where it may be cut, graded."""

    above: int
    below: int
    soft: dict[int, int]
    whole: list[Span]
    ruler: Ruler

    def best(self, tokens: range) -> int | None:
        """The place of the best grade near the starts of some tokens; the first of equals."""
        best: tuple[int, int] | None = None
        for token in tokens:
            found = self.graded(token)
            if found is None or not self.above < found[1] < self.below:
                continue
            if best is None or found[0] > best[0]:
                best = found
            if found[0] == PARAGRAPH:
                break  # there is none better
        return best[1] if best else None

    def graded(self, token: int) -> tuple[int, int] | None:
        """(grade, position) of the best place at a token's start; None where nothing may be cut."""
        position = self.ruler.cut_before(token)
        if position is None:
            return None
        grade = self.soft.get(position, 0)
        # A tokenizer may glue a line end or space to the next word: look behind it as well.
        for near in self.ruler.inside(token):
            if (near_grade := self.soft.get(near, 0)) > grade:
                grade, position = near_grade, near
        return None if self._inside_whole(position) else (grade, position)

    def _inside_whole(self, position: int) -> bool:
        index = bisect_left(self.whole, (position, 0)) - 1
        return index >= 0 and position < self.whole[index][1]

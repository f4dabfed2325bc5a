"""Which kind of pair comes next."""

from __future__ import annotations

from collections.abc import Collection, Mapping


class Turns:
    """Kinds in turn, so that every stretch of pairs has them in their shares.

    Kinds that stand apart are contrasted with their own kind alone. Their passages differ in form, code with
    its docstring and code without it, a section and a section less a sentence; where both are in one item,
    the form tells which passages cannot be meant, and a passage's twin of another form is called wrong.
    Batches of one source each serve the same end in Nomic Embed (arXiv 2402.01613).

    Args:
        shares: kind -> share.
        room: kind -> how many pairs of it an item can have at most.
        together: pairs of an item.
        mixed: whether all kinds come in every item. Else a kind that can fill an item has its own; those
            that cannot come in everybody's.
    """

    def __init__(
        self, shares: Mapping[str, float], room: Mapping[str, int], together: int, mixed: bool
    ) -> None:
        total = sum(shares[kind] for kind in room)
        self._shares = {kind: shares[kind] / total for kind in room}
        self._together = together
        self._apart = [] if mixed else [kind for kind in room if room[kind] >= together]
        self._among = [kind for kind in room if kind not in self._apart]
        self._own: str | None = None
        self._taken = dict.fromkeys(room, 0)

    def begin(self) -> None:
        """The next pair is the first one of an item."""
        self._own = self._most_due(self._apart, self._together) if self._apart else None

    def next(self) -> str:
        """The kind of the pair that comes now."""
        if self._own is None:
            return self._most_due(self._among, 1)
        if self._among:
            other = self._most_due(self._among, 1)
            if self._due(other, 1) > 0:
                return other
        return self._own

    def took(self, kind: str, pairs: int) -> None:
        """So many of them came."""
        self._taken[kind] += pairs

    def _most_due(self, kinds: Collection[str], coming: int) -> str:
        return max(kinds, key=lambda kind: self._due(kind, coming))

    def _due(self, kind: str, coming: int) -> float:
        """Pairs of a kind that are missing to its share, after so many more of any kind."""
        return (sum(self._taken.values()) + coming) * self._shares[kind] - self._taken[kind]

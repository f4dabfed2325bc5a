"""A rule at its limit and beyond."""

from __future__ import annotations

from revela.corpus.filters.base import Rule, View
from revela.corpus.schema import Document


def assert_limit(rule: Rule, reason: str, kept: Document, dropped: Document, detail: str) -> None:
    """The rule keeps the one and drops the other, and says what it measured."""
    assert rule.reason == reason
    assert rule(View(kept)) is None
    assert rule(View(dropped)) == detail

"""How much of each kind training sees."""

from __future__ import annotations

import pytest

from revela.pairs.shares import PLENTY, STRENGTHS, shares_of

MANY = 10 * PLENTY


def test_what_the_corpus_has_plenty_of_has_its_strength() -> None:
    shares = shares_of("auto", dict.fromkeys(STRENGTHS, MANY))
    total = sum(STRENGTHS.values())
    assert shares == pytest.approx({kind: one / total for kind, one in STRENGTHS.items() if one}, abs=1e-4)
    assert sum(shares.values()) == pytest.approx(1, abs=1e-3)


def test_what_there_is_little_of_has_less() -> None:
    shares = shares_of("auto", {"title": MANY, "heading": PLENTY // 2, "docstring": 0})
    assert shares == {"title": 0.6667, "heading": 0.3333}


@pytest.mark.parametrize(
    ("counts", "shares"),
    [
        ({"halves": 3}, {"halves": 1.0}),
        ({"halves": 3, "docstring": 0}, {"halves": 1.0}),
        ({"halves": MANY, "title": MANY}, {"title": 1.0}),
        ({"halves": MANY, "title": PLENTY // 2}, {"title": 0.5, "halves": 0.5}),
        ({"title": 0}, {}),
        ({}, {}),
    ],
)
def test_halves_take_the_place_of_what_there_is_too_little_of(counts: dict, shares: dict) -> None:
    assert shares_of("auto", counts) == shares


def test_shares_that_are_asked_for_do_not_depend_on_numbers() -> None:
    counts = {"title": 1, "halves": MANY, "link": 0, "heading": MANY}
    assert shares_of({"title": 3, "halves": 1, "link": 4}, counts) == {"title": 0.75, "halves": 0.25}

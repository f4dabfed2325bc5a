"""Which languages a text could be in, by resiliparse's letter n-gram profiles."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from resiliparse.parse.lang import detect_fast, supported_langs

LANGUAGES = frozenset(supported_langs())  # ISO 639-1 codes

_CHARACTERS = 5000  # more changes hardly a verdict and costs time
_ANY_RANK = 1_000_000
# Ranks are distances. The nearest alone is right for 89 % of texts of 150 characters (translations of GTK and
# GLib) and 98 % of those of 2000. Within a margin of 50 of it the true one is found for 99.5 % of the short
# ones; at 30, 7 of 10 403 English Wikipedia articles and manual pages fell outside, at 50 one. 40 is between.
_NEAR = 40


def languages_of(text: str) -> frozenset[str]:
    """ISO 639-1 codes of the languages that the text is nearest to: related ones cannot be told apart."""
    # Asked for more than one result, it gives a list.
    found = cast(
        list[tuple[str, int]],
        detect_fast(text[:_CHARACTERS], cutoff=_ANY_RANK, n_results=len(LANGUAGES)),
    )
    nearest = min(rank for _, rank in found)
    return frozenset(language for language, rank in found if rank <= nearest + _NEAR)


def unknown_languages(codes: Iterable[str]) -> list[str]:
    """Codes that no text can ever get."""
    return [code for code in codes if code not in LANGUAGES]

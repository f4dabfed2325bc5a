"""Prose in other languages than the ones wanted."""

from collections.abc import Sequence

from revela.corpus.filters.base import Rule, View
from revela.corpus.filters.language import LANGUAGES, unknown_languages
from revela.errors import RevelaError


class Languages(Rule):
    """Keeps prose that could be in one of `wanted`; code passes, its key words being English everywhere.

    The language is told by resiliparse from the first 5000 characters (see `language.py` for how well).
    Every language near enough counts, so that short texts and manuals full of code are not lost.

    Raises:
        RevelaError: a code that resiliparse has no profile for.
    """

    reason = "other_language"

    def __init__(self, wanted: Sequence[str]) -> None:
        unknown = unknown_languages(wanted)
        if unknown:
            raise RevelaError(
                f"corpus.filters.languages: no profile for {', '.join(unknown)}. "
                f"Use ISO 639-1 codes out of: {', '.join(sorted(LANGUAGES))}."
            )
        self.wanted = frozenset(wanted)

    def __call__(self, view: View) -> str | None:
        if not view.is_prose or view.languages & self.wanted:
            return None
        return f"nearest to {', '.join(sorted(view.languages))}; wanted: {', '.join(sorted(self.wanted))}"

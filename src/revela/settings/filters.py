"""`corpus.filters`: the document rules and their limits."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from revela.settings.base import Positive, Share, Strict


class FilterSettings(Strict):
    """Limits of the document rules. `null` switches a rule off."""

    min_words: Annotated[int, Field(ge=1)] | None = 40
    max_characters: Positive | None = 1_000_000
    max_mean_word_length: Annotated[float, Field(gt=0)] | None = 30.0
    max_line_length: Positive | None = 2000
    max_digit_share: Share | None = 0.3
    max_repeated_line_share: Share | None = 0.7
    drop_generated: bool = True
    drop_exact_duplicates: bool = True

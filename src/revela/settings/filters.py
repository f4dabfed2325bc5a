"""`corpus.filters`: the rules for single documents and their limits."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from revela.settings.base import Positive, Share, Strict

Treatment = Literal["redact", "drop", "keep"]
PositiveFloat = Annotated[float, Field(gt=0)]
NgramShares = Annotated[dict[Annotated[int, Field(ge=2, le=20)], Share], Field(min_length=1)]


class MeanWordLength(Strict):
    """Bounds of the mean length of a word, in characters."""

    min: PositiveFloat = 3.0
    max: PositiveFloat = 10.0

    @model_validator(mode="after")
    def _min_below_max(self) -> MeanWordLength:
        if self.min > self.max:
            raise ValueError(f"`min` ({self.min:g}) is above `max` ({self.max:g})")
        return self


class FilterSettings(Strict):
    """Limits of the document rules. `null` or `false` switches a rule off; see docs/corpus.md for sources."""

    # Every kind of document.
    min_words: Positive | None = 40
    max_words: Positive | None = None
    min_characters: Positive | None = None
    max_characters: Positive | None = 1_000_000
    max_mean_word_length: PositiveFloat | None = 30.0
    max_digit_share: Share | None = 0.3
    max_repeated_line_share: Share | None = 0.7
    max_encoded_share: Share | None = Field(
        0.5, description="base64, hexadecimal and \\u escapes in long runs"
    )
    drop_generated: bool = True
    drop_vendored: bool = True
    drop_licence_texts: bool = True
    drop_index_pages: bool = True
    drop_exact_duplicates: bool = True

    # Code: every kind that is not prose.
    max_line_length: Positive | None = 2000
    max_literal_line_share: Share | None = Field(0.9, description="lines of numbers and strings alone")
    data_kinds: list[str] | None = Field(
        ["csv", "geojson", "json", "jsonl", "lock", "map", "ndjson", "po", "pot", "svg", "tsv"],
        description="kinds that are data and no text",
    )
    remove_licence_headers: bool = True

    # Prose: text, Markdown, reStructuredText.
    languages: Annotated[list[str], Field(min_length=1)] | None = Field(
        None, description="ISO 639-1 codes to keep, e.g. [en, de]; null keeps every language"
    )
    prose_word_length: MeanWordLength | None = MeanWordLength()
    max_symbol_ratio: PositiveFloat | None = 0.1
    max_bullet_line_share: Share | None = 0.9
    max_ellipsis_line_share: Share | None = 0.3
    min_alphabetic_word_share: Share | None = 0.8
    min_stop_words: Positive | None = 2
    min_sentences: Positive | None = None
    min_punctuated_line_share: Share | None = None
    max_lorem_ipsum_share: Share | None = 0.1
    max_repeated_prose_line_share: Share | None = 0.3
    max_repeated_line_characters: Share | None = 0.2
    max_repeated_paragraph_share: Share | None = 0.3
    max_repeated_paragraph_characters: Share | None = 0.2
    max_top_ngram_characters: NgramShares | None = Field({2: 0.20, 3: 0.18, 4: 0.16})
    max_repeated_ngram_characters: NgramShares | None = Field(
        {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}
    )
    remove_boilerplate_lines: bool = True

    # Personal and secret data, in every kind.
    emails: Treatment = "redact"
    secrets: Treatment = "redact"
    ip_addresses: Treatment = "keep"

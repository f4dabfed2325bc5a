"""The rules that drop documents: one a file, in the order in which they are asked."""

from __future__ import annotations

from revela.corpus.filters.base import Rule
from revela.corpus.filters.exact_duplicates import ExactDuplicates
from revela.corpus.filters.generated import Generated
from revela.corpus.filters.max_characters import MaxCharacters
from revela.corpus.filters.max_digit_share import MaxDigitShare
from revela.corpus.filters.max_line_length import MaxLineLength
from revela.corpus.filters.max_mean_word_length import MaxMeanWordLength
from revela.corpus.filters.max_repeated_line_share import MaxRepeatedLineShare
from revela.corpus.filters.min_words import MinWords
from revela.settings import FilterSettings

# Key in `corpus.filters` -> rule. Cheap rules stand first.
RULES: dict[str, type[Rule]] = {
    "max_characters": MaxCharacters,
    "min_words": MinWords,
    "drop_generated": Generated,
    "max_mean_word_length": MaxMeanWordLength,
    "max_line_length": MaxLineLength,
    "max_digit_share": MaxDigitShare,
    "max_repeated_line_share": MaxRepeatedLineShare,
    "drop_exact_duplicates": ExactDuplicates,
}


def build_rules(settings: FilterSettings) -> list[Rule]:
    """The rules that are switched on (neither `null` nor `false`), in the order of :data:`RULES`."""
    rules = []
    for key, rule in RULES.items():
        value = getattr(settings, key)
        if value is True:
            rules.append(rule())
        elif value is not None and value is not False:
            rules.append(rule(value))
    return rules

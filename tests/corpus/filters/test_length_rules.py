"""How long a document and its words and lines are."""

from __future__ import annotations

import pytest
from corpora import document
from rule_limits import assert_limit

from revela.corpus.filters.base import Rule, View
from revela.corpus.filters.max_characters import MaxCharacters
from revela.corpus.filters.max_line_length import MaxLineLength
from revela.corpus.filters.max_mean_word_length import MaxMeanWordLength
from revela.corpus.filters.max_words import MaxWords
from revela.corpus.filters.min_characters import MinCharacters
from revela.corpus.filters.min_words import MinWords
from revela.corpus.filters.prose_word_length import ProseWordLength
from revela.corpus.schema import Document
from revela.settings.filters import MeanWordLength

BOUNDS = MeanWordLength(min=3, max=5)

CASES: list[tuple[Rule, str, Document, Document, str]] = [
    # rule, its reason, kept, dropped, what the detail says
    (MinWords(3), "too_few_words", document("one two\nthree"), document("one two"),
     "2 words, at least 3 wanted"),
    (MaxWords(2), "too_many_words", document("one two"), document("a b c"), "3 words, at most 2 wanted"),
    (MinCharacters(5), "too_few_characters", document("12 45"), document("1234"),
     "4 characters, at least 5 wanted"),
    (MaxCharacters(5), "too_many_characters", document("12345"), document("123456"),
     "6 characters, at most 5 wanted"),
    (
        MaxMeanWordLength(4), "long_words", document("four five"), document("eleven"),
        "mean word length 6.0, at most 4 wanted",
    ),
    (
        MaxLineLength(5), "long_line", document("x = 1\ny = 2", kind="python"),
        document("x = 10\ny = 2", kind="python"), "a line of 6 characters, at most 5 wanted",
    ),
    (
        ProseWordLength(BOUNDS), "unusual_word_length", document("one seven"), document("a be see"),
        "mean word length 2.0, 3 to 5 wanted",
    ),
    (
        ProseWordLength(BOUNDS), "unusual_word_length", document("seven five"), document("eleven twelve"),
        "mean word length 6.0, 3 to 5 wanted",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "reason", "kept", "dropped", "detail"), CASES)
def test_a_rule_keeps_up_to_its_limit_and_says_what_it_measured_beyond(
    rule: Rule, reason: str, kept: Document, dropped: Document, detail: str
) -> None:
    assert_limit(rule, reason, kept, dropped, detail)


@pytest.mark.parametrize("kind", ["text", "markdown", "rst"])
def test_a_line_of_prose_may_be_a_whole_paragraph(kind: str) -> None:
    assert MaxLineLength(5)(View(document("a long paragraph on one line", kind=kind))) is None


def test_word_lengths_of_prose_do_not_bind_code_and_bind_technical_text_less() -> None:
    assert ProseWordLength(BOUNDS)(View(document("eleven twelve", kind="python"))) is None
    assert ProseWordLength(BOUNDS)(View(document("`eleven` twelve"))) is None


def test_in_scripts_without_spaces_every_letter_is_a_word() -> None:
    view = View(document("東京は日本の首都です。 Tokyo"))
    assert view.words == [*"東京は日本の首都です", "。", "Tokyo"]
    assert MinWords(10)(view) is None
    assert ProseWordLength(BOUNDS)(view) is None
    assert View(document("서울은 수도")).words == ["서울은", "수도"]

"""What running text looks like: Gopher's and C4's rules for single documents."""

from __future__ import annotations

import pytest
from corpora import document
from rule_limits import assert_limit

from revela.corpus.filters.base import Rule, View
from revela.corpus.filters.languages import Languages
from revela.corpus.filters.max_bullet_line_share import MaxBulletLineShare
from revela.corpus.filters.max_digit_share import MaxDigitShare
from revela.corpus.filters.max_ellipsis_line_share import MaxEllipsisLineShare
from revela.corpus.filters.max_lorem_ipsum_share import MaxLoremIpsumShare
from revela.corpus.filters.max_symbol_ratio import MaxSymbolRatio
from revela.corpus.filters.min_alphabetic_word_share import MinAlphabeticWordShare
from revela.corpus.filters.min_punctuated_line_share import MinPunctuatedLineShare
from revela.corpus.filters.min_sentences import MinSentences
from revela.corpus.filters.min_stop_words import MinStopWords

ENGLISH = "Tea was brought from China by merchants who sold it dearly in London. "
GERMAN = "Der Tee wurde von Kaufleuten aus China gebracht, die ihn in London teuer verkauften. "
KEY_WORDS = "cheap tea shop buy green tea online best price black tea offers free delivery tea pots "
LOREM = "Lorem ipsum dolor sit amet, consectetur adipiscing elit. "

CASES: list[tuple[Rule, str, str, str, str]] = [
    # rule, its reason, kept, dropped, what the detail says
    (MaxDigitShare(0.5), "mostly_digits", "ab 12", "a 12", "digit share 0.67, at most 0.5 wanted"),
    (MaxSymbolRatio(0.5), "too_many_symbols", "#a b", "#a #b", "1.00 hash signs a word, at most 0.5 wanted"),
    (MaxSymbolRatio(0.5), "too_many_symbols", "a… b", "a... b…", "1.00 ellipses a word, at most 0.5 wanted"),
    (MaxBulletLineShare(0.5), "mostly_bullets", "- a\nb", "- a\n• b\n\nc",
     "bullet line share 0.67, at most 0.5 wanted"),
    (MaxEllipsisLineShare(0.5), "ellipsis_lines", "a...\nb", "a…\nb... \nc",
     "ellipsis line share 0.67, at most 0.5 wanted"),
    (MinAlphabeticWordShare(0.5), "few_alphabetic_words", "a1 22", "é 22 ---",
     "0.33 of the words hold a letter, at least 0.5 wanted"),
    (MinStopWords(2), "few_stop_words", ENGLISH * 2 + "The end of it.", KEY_WORDS * 3 + "the",
     "1 different stop words, at least 2 wanted"),
    (MinSentences(2), "too_few_sentences", 'One. "Two!" 3.5', "One. Version 3.5",
     "1 sentences, at least 2 wanted"),
    (MinPunctuatedLineShare(0.5), "few_punctuated_lines", "One.\nTwo", "One.\nTwo\nThree",
     "0.33 of the lines end in punctuation, at least 0.5 wanted"),
    (MaxLoremIpsumShare(0.1), "lorem_ipsum", LOREM + ENGLISH * 8, LOREM + ENGLISH,
     "lorem ipsum share 0.33, at most 0.1 wanted"),
    (Languages(["en"]), "other_language", ENGLISH, GERMAN, "nearest to de; wanted: en"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "reason", "kept", "dropped", "detail"), CASES)
def test_a_rule_keeps_up_to_its_limit_and_says_what_it_measured_beyond(
    rule: Rule, reason: str, kept: str, dropped: str, detail: str
) -> None:
    assert_limit(rule, reason, document(kept), document(dropped), detail)


@pytest.mark.parametrize(
    ("rule", "dropped"),
    [(rule, dropped) for rule, reason, _, dropped, _ in CASES if reason != "mostly_digits"],
)
def test_code_always_passes(rule: Rule, dropped: str) -> None:
    assert rule(View(document(dropped, kind="python"))) is None


def test_headings_of_markdown_are_no_hash_tags() -> None:
    text = "## Tea\nboil\n\n### Pots\nclean"
    assert MaxSymbolRatio(0.5)(View(document(text, kind="markdown"))) is None
    assert MaxSymbolRatio(0.5)(View(document(text))) is not None


def test_stop_words_are_asked_of_english_only() -> None:
    assert MinStopWords(2)(View(document(GERMAN * 3))) is None


def test_technical_text_may_hold_more_words_without_a_letter() -> None:
    assert MinAlphabeticWordShare(0.8)(View(document("x = { 1 , 2 }"))) is not None
    assert MinAlphabeticWordShare(0.8)(View(document("let x = 1 and y = 2"))) is None
    assert MinAlphabeticWordShare(0.8)(View(document("let x : 1 and y : 2"))) is not None


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("La ville de Paris est la capitale de la France et compte deux millions d'habitants.", "fr"),
        ("Москва является столицей Российской Федерации и крупнейшим городом страны.", "ru"),
        ("北京是中华人民共和国的首都,也是全国的政治和文化中心。" * 5, "zh"),
    ],
)
def test_languages_are_told_from_a_sentence(text: str, language: str) -> None:
    assert language in View(document(text)).languages
    assert "en" not in View(document(text)).languages

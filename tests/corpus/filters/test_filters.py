"""The rules together: settings, order, what a judgement holds."""

from __future__ import annotations

import pickle

import pytest
from corpora import ALL_OFF, document, prose
from pydantic import ValidationError

from revela.corpus.filters import CLEANERS, REDACTIONS, RULES, Judgement, build_filters
from revela.errors import RevelaError
from revela.settings import FilterSettings

SECRET = "token = 'ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8" + "'"


def only(**switched_on: object) -> FilterSettings:
    return ALL_OFF.model_copy(update=switched_on)


def test_there_is_a_rule_for_every_setting_and_reasons_differ() -> None:
    # Equal documents are a matter of the whole corpus, not of one document.
    assert {*RULES, *CLEANERS, *REDACTIONS, "drop_exact_duplicates"} == set(FilterSettings.model_fields)
    assert len({rule.reason for rule in RULES.values()}) == len(RULES)


def test_null_and_false_switch_a_rule_off() -> None:
    filters = build_filters(ALL_OFF)
    assert (filters.cleaners, filters.rules, filters.redactors) == ((), (), ())
    assert [rule.reason for rule in build_filters(only(max_digit_share=0.0)).rules] == ["mostly_digits"]


def test_what_is_switched_on_by_default_keeps_ordinary_text_as_it_is() -> None:
    filters = build_filters(FilterSettings())
    for kind in ("text", "markdown", "python"):
        kept = document(prose(300), kind=kind)
        assert filters.judge(kept) == Judgement(kept)


def test_a_dropped_document_comes_back_as_it_was_read() -> None:
    code = document("# Copyright 2020 A. Author\n# All rights reserved.\n\nx = 1\n", kind="python")
    verdict = build_filters(only(remove_licence_headers=True, min_words=40)).judge(code)
    assert verdict == Judgement(code, "too_few_words", "3 words, at least 40 wanted")


def test_a_kept_document_is_cleaned_and_its_edits_are_counted() -> None:
    code = document(f"# Copyright 2020 A. Author\n\n{SECRET}  # ask a.author@python.org\n", kind="python")
    verdict = build_filters(FilterSettings(min_words=None)).judge(code)
    assert verdict.document.text == "token = '<secret>'  # ask <email>\n"
    assert verdict.edits == {"licence_header": 1, "secret": 1, "email": 1}
    again = build_filters(FilterSettings(min_words=None)).judge(verdict.document)
    assert again == Judgement(verdict.document)


@pytest.mark.parametrize("text", ["", " \n\t", "\u00a0"])
def test_a_text_without_a_visible_character_is_empty(text: str) -> None:
    assert build_filters(ALL_OFF).judge(document(text)).reason == "empty"


def test_a_file_of_nothing_but_its_licence_is_empty() -> None:
    code = document("# SPDX-License-Identifier: MIT\n", kind="python")
    verdict = build_filters(only(remove_licence_headers=True)).judge(code)
    assert (verdict.reason, verdict.detail) == ("empty", "no visible character after licence_header")
    assert verdict.document is code


def test_secrets_and_addresses_can_drop_a_document_or_be_left_alone() -> None:
    text = document(f"{SECRET}\na.author@python.org\n", kind="python")
    assert build_filters(only(secrets="drop")).judge(text).reason == "secret"
    dropped = build_filters(only(emails="drop")).judge(text)
    assert (dropped.reason, dropped.detail) == ("email", "1 found, none wanted")
    assert build_filters(ALL_OFF).judge(text) == Judgement(text)


def test_the_filters_answer_the_same_in_another_process() -> None:
    filters = build_filters(FilterSettings(languages=["en"]))
    copy = pickle.loads(pickle.dumps(filters))
    for text in (document(prose(300)), document("a b " * 100), document(SECRET, kind="python")):
        assert copy.judge(text) == filters.judge(text)


def test_an_unknown_language_is_named() -> None:
    with pytest.raises(RevelaError, match=r"corpus.filters.languages: no profile for xx\..* en,"):
        build_filters(only(languages=["en", "xx"]))


def test_bounds_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"`min` \(9\) is above `max` \(5\)"):
        FilterSettings(prose_word_length={"min": 9, "max": 5})

"""What a word is, for each of the questions that are asked about words."""

from __future__ import annotations

import pytest

from revela.words import has_unspaced_script, split_identifiers, subwords, token_spans, tokens, word_runs


@pytest.mark.parametrize(
    ("text", "split"),
    [
        ("snake_case_name", "snake case name"),
        ("camelCaseName", "camel Case Name"),
        ("getHTTPResponse2", "get HTTP Response 2"),
        ("__init__(self)", "init(self)"),
        ("UPPER_CASE = 10", "UPPER CASE = 10"),
        ("größe_inMetern", "größe in Metern"),
        ("plain words stay.", "plain words stay."),
    ],
)
def test_split_identifiers(text: str, split: str):
    assert split_identifiers(text) == split


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("getHTTPResponse(file_name2)", ["get", "http", "response", "file", "name", "2"]),
        ("Café, naïve MAX_VALUE", ["café", "naïve", "max", "value"]),
        ("東京 is big", ["東", "京", "is", "big"]),
    ],
)
def test_subwords(text: str, words: list[str]) -> None:
    assert subwords(text) == words


def test_in_ascii_subwords_and_split_identifiers_agree() -> None:
    text = "HTTPServer2Go parse_XMLFile(x1, _private, ABc) aB __init__ 0x1F"
    assert subwords(split_identifiers(text)) == subwords(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("max_value = 3;", ["max_value", "=", "3;"]),
        ("東京です", ["東", "京", "で", "す"]),
        ("서울 big", ["서울", "big"]),
        ("", []),
    ],
)
def test_tokens(text: str, words: list[str]) -> None:
    assert tokens(text) == words
    assert has_unspaced_script(text) is (text == "東京です")


def test_token_spans_lead_back_to_the_text() -> None:
    text = "  one, two\n\tthree "
    assert [text[start:end] for start, end in token_spans(text)] == text.split()


def test_word_runs() -> None:
    assert word_runs("max_value = 3; 東京") == ["max_value", "3", "東京"]

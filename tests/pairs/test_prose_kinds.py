"""Titles, headings, sentences and halves of prose, and the passages that they stand for."""

from __future__ import annotations

import pytest
from finding import found, queries, sentences

from revela.pairs.kinds import KINDS
from revela.pairs.pair import LONGEST_QUERY
from revela.words import tokens

TITLE = "How tea came to England"
PAGE = f"# {TITLE}\n\n{sentences(6)}\n\n## Ships\n\n{sentences(5, 20)}\n\n### Sails\n\n{sentences(4, 30)}\n"


def test_a_title_stands_for_the_beginning_of_its_text() -> None:
    text = f"{TITLE}\n\n{sentences(4)}\n\n{sentences(40, 10)}"
    assert found("title", text, title=TITLE) == [(TITLE, sentences(4))]
    assert found("title", text, title="england.txt", id="docs/england.txt") == []
    assert found("title", "", title=TITLE) == []


def test_a_heading_stands_for_its_section_below_those_above_it() -> None:
    assert found("heading", PAGE, "markdown", title="a.md") == [
        (TITLE, sentences(6)),
        (f"{TITLE}: Ships", sentences(5, 20)),
        (f"{TITLE}: Ships: Sails", sentences(4, 30)),
    ]


def test_the_title_of_the_document_is_above_its_headings_once() -> None:
    other = "A short history of trade"
    assert queries("heading", PAGE, "markdown", title=TITLE.upper())[1] == f"{TITLE}: Ships"
    assert queries("heading", PAGE, "markdown", title=other) == [
        f"{other}: {TITLE}", f"{other}: {TITLE}: Ships", f"{TITLE}: Ships: Sails"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "kind", "query"),
    [
        (f"# Tea\n\n## Why is it so dear?\n{sentences(3)}\n", "markdown", "Why is it so dear?"),
        (f"Why is tea so dear?\n\n{sentences(3)}\n", "text", "Why is tea so dear?"),
        (f"# 茶\n\n## なぜ高い\uff1f\n{sentences(3)}\n", "markdown", "なぜ高い\uff1f"),
    ],
)
def test_a_heading_that_asks_stands_alone(text: str, kind: str, query: str) -> None:
    assert found("heading", text, kind, title="All about tea") == [(query, sentences(3))]


def test_a_heading_without_text_stands_for_nothing() -> None:
    assert found("heading", "# One thing\n\n## Another thing\n", "markdown") == []


def test_a_first_sentence_stands_for_the_others_below_the_title() -> None:
    rest = sentences(5, 1)
    [(query, passage)] = found("sentence", f"{TITLE}\n\n{sentences(1)} {rest}", title=TITLE)
    assert (query, passage) == (sentences(1), f"{TITLE}\n{rest}")
    assert found("sentence", sentences(2)) == []
    assert [query for query, _ in found("sentence", PAGE, "markdown")] == [
        sentences(1), sentences(1, 20), sentences(1, 30)
    ]  # fmt: skip


def test_a_title_above_other_headings_is_no_sentence() -> None:
    title = "Tea came to England. Not everybody liked it there."
    text = f"{title}\n\n{sentences(4)}\n\nThe ships of it\n\n{sentences(4, 10)}\n"
    assert queries("sentence", text, title=title) == [sentences(1), sentences(1, 10)]


def test_a_drawn_sentence_stands_for_its_passage_without_it() -> None:
    [(query, passage)] = found("cloze", f"{TITLE}\n\n{sentences(8)}", title=TITLE)
    number = next(number for number in range(8) if sentences(1, number) == query)
    assert number > 0
    assert passage == f"{TITLE}\n{sentences(number)} {sentences(7 - number, number + 1)}".strip()
    assert found("cloze", f"{TITLE}\n\n{sentences(8)}", title=TITLE) == [(query, passage)]
    assert found("cloze", sentences(3)) == []


def test_a_sentence_that_comes_twice_or_says_little_is_not_drawn() -> None:
    text = f"{sentences(1)} It was so. That is all. {sentences(1, 5)} {sentences(1, 5)} {sentences(1, 9)}"
    assert queries("cloze", text) == [sentences(1, 9)]


def test_the_first_third_stands_for_the_rest_in_any_text() -> None:
    [(query, passage)] = found("halves", sentences(3), "json")
    assert (query, passage) == (sentences(1), sentences(2, 1))
    assert found("halves", sentences(2), "json") == []


def test_the_first_third_is_no_longer_than_a_query() -> None:
    text = sentences(60).replace(".", "")
    [(query, passage)] = found("halves", text, title=TITLE)
    assert len(tokens(query)) == LONGEST_QUERY
    assert passage == f"{TITLE}\n{text.removeprefix(query).strip()}"


def test_texts_without_capitals_have_sentences() -> None:
    text = sentences(8).lower()
    assert queries("sentence", text) == [sentences(1).lower()]
    assert len(queries("cloze", text)) == 1


CHINESE = "茶は中国から来た。とても高いものだった。だから船で運ばれて来たのである。人々は毎日飲んだ。"
THAI = "ชามาจากประเทศจีน และ มีราคาแพงมาก ผู้คนดื่มชาทุกวัน "


def test_text_without_spaces_yields_what_it_can() -> None:
    assert found("title", CHINESE, title="茶の淹れ方") == [("茶の淹れ方", CHINESE)]
    assert found("sentence", CHINESE) == [("茶は中国から来た。", CHINESE.partition("。")[2])]
    assert len(found("cloze", CHINESE)) == 1
    [(query, passage)] = found("halves", CHINESE)
    assert query + passage == CHINESE and len(tokens(query)) == len(tokens(CHINESE)) // 3
    assert len(found("halves", THAI * 3)) == 1


ODD = ["", " \n\n ", CHINESE * 50, THAI * 200, "\ufeff\u2028\x0c\x85?\n=\n", "\\" * 99]


@pytest.mark.parametrize("rule", KINDS)
def test_no_text_is_too_odd(rule: str) -> None:
    for kind in ("text", "markdown", "rst", "python", "js", "unheard-of"):
        for text in ODD:
            for query, passage in found(rule, text, kind, title=text[:20]):
                assert query.strip() and passage.strip()


HOSTILE = [
    *("[", "![", "![a](", "[a](b ", "<img ", '<img alt="a b ', ":doc:`", "`a <b", "{", "**Q", " ", "\n\t"),
    *("Q: a\n", "Head Line\n\n", "Head Line\n", ".. figure:: a\n   \n", "a\n---\n", "# a\n```\n"),
]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("rule", ["heading", "answer", "link", "caption"])
def test_time_grows_with_the_length_of_hostile_text(rule: str) -> None:
    for part in HOSTILE:
        for kind in ("text", "markdown", "rst"):
            found(rule, part * (100_000 // len(part)), kind)

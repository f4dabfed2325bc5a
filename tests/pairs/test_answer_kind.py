"""Questions and their answers: threads of a forum, and what is written as Q and A."""

from __future__ import annotations

from html import escape
from pathlib import Path

import pytest
from finding import found, queries

from revela.corpus.sources import open_source
from revela.pairs.kinds import KINDS
from revela.settings import StackExchangeSource

TITLE = "How do I boil tea?"
QUESTION = "I have a pot.\n\nBoil the water first, they say. Is that so?"
ANSWERS = ["Boil the water first, they say. They are right.\n\nThen wait.", "No.", "Use another pot."]


def thread(*begins: str | None, text: str = "\n\n".join([QUESTION, *ANSWERS]), **rest: str) -> list:
    answers = [{"id": number} | ({"begins": begin} if begin else {}) for number, begin in enumerate(begins)]
    return found("answer", text, **{"title": TITLE, "answers": answers, **rest})


def test_a_threads_title_stands_for_each_of_its_answers() -> None:
    begins = [answer[:30] for answer in ANSWERS]
    assert thread(*begins) == [(TITLE, answer) for answer in ANSWERS]
    assert thread(*begins, title="") == []


def test_a_thread_whose_question_is_empty_begins_with_its_answers() -> None:
    assert thread("No.", "Use", text="No.\n\nUse it.") == [(TITLE, "No."), (TITLE, "Use it.")]


def test_answers_that_begin_alike_are_told_apart() -> None:
    assert thread("No.", "No.", text="Why?\n\nNo.\n\nNo.") == [(TITLE, "No."), (TITLE, "No.")]


def test_an_answer_that_filters_changed_is_passed_over() -> None:
    first, second, third = ANSWERS
    assert thread(first[:30], "Gone", third[:5]) == [(TITLE, f"{first}\n\n{second}"), (TITLE, third)]
    assert thread("Gone", None) == []


@pytest.mark.parametrize("answers", [None, 3, "No.", [3, None], [{"begins": None}], {"begins": "No."}])
def test_metadata_of_other_making_gives_no_answers(answers: object) -> None:
    assert found("answer", QUESTION, title=TITLE, answers=answers) == []


def post(**attributes: object) -> str:
    return "<row " + " ".join(f'{name}="{escape(str(value))}"' for name, value in attributes.items()) + " />"


def test_pairs_come_out_of_a_dump(tmp_path: Path) -> None:
    rows = [
        post(Id=1, PostTypeId=1, AcceptedAnswerId=3, Title=TITLE, Body="<p>It is <i>cold</i>.</p>"),
        post(Id=2, PostTypeId=2, ParentId=1, Score=7, Body="<p>It is <i>cold</i>.</p><p>Light a fire.</p>"),
        post(Id=3, PostTypeId=2, ParentId=1, Body="<p>Wait.</p>"),
        post(Id=4, PostTypeId=2, ParentId=1, Score=-1, Body="<br>"),
        post(Id=5, PostTypeId=1, Title="Nobody knows?", Body="<p>No.</p>"),
    ]
    (tmp_path / "Posts.xml").write_text("\n".join(["<posts>", *rows, "</posts>"]))
    documents = list(open_source(StackExchangeSource(kind="stackexchange", path=tmp_path)))
    pairs = [(pair.query, pair.passage) for one in documents for pair in KINDS["answer"](one)]
    assert pairs == [(TITLE, "Wait."), (TITLE, "It is cold.\n\nLight a fire.")]


def test_questions_and_answers_are_found_by_their_marks() -> None:
    text = (
        "About tea\n\nQ: How is tea\nboiled, and\nfor how long?\nA: In a pot.\n\nFor an hour.\n\n"
        "**Q2:** Who drinks it?\n\n**A2:** Everybody.\n\nQuestion 3. Who knows?\n\nQ: Where is it from?\n"
        "Answer: China.\n"
    )
    assert found("answer", text) == [
        ("How is tea boiled, and for how long?", "In a pot.\n\nFor an hour."),
        ("Who drinks it?", "Everybody."),
        ("Where is it from?", "China."),
    ]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Q: How?\nA: So.\n", "python"),
        ("Q: How?\n\nA: \n", "text"),
        ("Question\n\n1. How\n\nAnswer\n\n1. So\n", "text"),
        ("Quality: high\nA: So\n", "text"),
    ],
)
def test_no_question_is_found_in(text: str, kind: str) -> None:
    assert queries("answer", text, kind) == []

"""A StackExchange dump: threads or posts, in bounded memory, every damaged line named."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from html import escape
from pathlib import Path

import pytest
from opened import checked, documents, faults

from revela.corpus.schema import Document, Malformed
from revela.corpus.sources import open_source
from revela.errors import RevelaError
from revela.settings import StackExchangeSource

Notes = Callable[..., Path]


def post(**attributes: object) -> str:
    """A row as the dumps spell it: line ends inside attributes are escaped."""
    spelled = {name: escape(str(value)).replace("\n", "&#xA;") for name, value in attributes.items()}
    return "  <row " + " ".join(f'{name}="{value}"' for name, value in spelled.items()) + " />"


def dump(*rows: str) -> str:
    return "\n".join(['<?xml version="1.0" encoding="utf-8"?>', "<posts>", *rows, "</posts>"]) + "\n"


def question(id: int, **rest: object) -> str:
    return post(Id=id, PostTypeId=1, **{"Score": 5, "Title": f"Q{id}", "Body": f"<p>q{id}</p>", **rest})


def answer(id: int, parent: int, **rest: object) -> str:
    return post(Id=id, PostTypeId=2, ParentId=parent, **{"Score": 1, "Body": f"<p>a{id}</p>", **rest})


def source(folder: Path, **rest: object) -> StackExchangeSource:
    return StackExchangeSource(kind="stackexchange", path=folder / "site", **rest)


@pytest.mark.parametrize("name", ["Posts.xml", "Posts.xml.gz"])
def test_a_thread_is_a_question_with_its_answers(notes: Notes, name: str) -> None:
    body = "<p>Why &lt;b&gt;?</p>\n\n<pre><code>if x:\n    y &lt; 1\n</code></pre>"
    text = dump(
        answer(7, 4, Score=9),
        question(4, AcceptedAnswerId=8, Title="How & why", Tags="<python><c#>", Body=body),
        question(5, Tags="|a-b|c++|"),
        answer(8, 4, Score=2),
        post(Id=9, PostTypeId=4, Body="a tag's wiki"),
        answer(10, 4, Score=30),
    )
    folder = notes({f"site/{name}": gzip.compress(text.encode()) if name.endswith(".gz") else text})
    first, second = documents(source(folder))
    assert (first.id, first.title, first.source) == ("site/4", "How & why", "stackexchange:site")
    assert first.text == "Why <b>?\n\nif x:\n    y < 1\n\na8\n\na10\n\na7"
    assert json.loads(first.metadata) == {
        "score": 5,
        "tags": ["python", "c#"],
        "answers": [
            {"id": 8, "score": 2, "accepted": True, "begins": "a8"},
            {"id": 10, "score": 30, "begins": "a10"},
            {"id": 7, "score": 9, "begins": "a7"},
        ],
    }
    assert (second.text, json.loads(second.metadata)["tags"]) == ("q5", ["a-b", "c++"])


def test_an_answer_is_known_by_its_first_60_characters(notes: Notes) -> None:
    long = " ".join(f"word{number}" for number in range(20))
    rows = [
        question(4),
        answer(7, 4, Body=f"<p>First.</p><p>{long}</p>", Score=3),
        answer(8, 4, Body="<br>"),
        answer(9, 4, Body="<b>é</b>"),
    ]
    [thread] = documents(source(notes({"site/Posts.xml": dump(*rows)})))
    first, blank, last = json.loads(thread.metadata)["answers"]
    assert first["begins"] == f"First.\n\n{long}"[:60]
    assert thread.text.count(f"\n\n{first['begins']}") == 1
    assert blank == {"id": 8, "score": 1} and last["begins"] == "é"


def test_a_post_can_be_a_document_of_its_own(notes: Notes) -> None:
    folder = notes({"site/Posts.xml": dump(question(4), answer(7, 4))})
    rows = documents(source(folder, unit="post"))
    assert [(row.id, row.title, row.text) for row in rows] == [("site/4", "Q4", "q4"), ("site/7", "", "a7")]
    assert json.loads(rows[1].metadata) == {"score": 1, "tags": [], "question": 4}


@pytest.mark.parametrize(("unit", "ids"), [("thread", ["4"]), ("post", ["4", "7", "10"])])
def test_posts_with_a_low_score_are_left_out(notes: Notes, unit: str, ids: list[str]) -> None:
    rows = [question(4), answer(7, 4), answer(8, 4, Score=-1), question(9, Score=-3), answer(10, 9)]
    folder = notes({"site/Posts.xml": dump(*rows)})
    found = documents(source(folder, unit=unit, min_score=0))
    assert [row.id for row in found] == [f"site/{id}" for id in ids]
    assert not any("a8" in row.text for row in found)


BAD_ROWS = [
    ('  <row Id="1" PostTypeId="1" Body="x', "bad_xml"),
    ("  <comment/>", "bad_xml"),
    ('  <row Id="1" PostTypeId="1" Body="a < b" />', "bad_xml"),
    ('  <row Id="1" PostTypeId="1" Body="&unknown;" />', "bad_xml"),
    ('  <row Id="1" PostTypeId="1" Body="&#0;" />', "bad_xml"),
    ('  <row Id="1" PostTypeId="1" /><row Id="2" PostTypeId="1" />', "bad_xml"),
    ('  <row PostTypeId="1" Body="x" />', "missing_field"),
    ('  <row Id="x" PostTypeId="1" Body="x" />', "missing_field"),
    ('  <row Id="1" PostTypeId="2" Body="x" />', "missing_field"),
    ('  <row Id="1" PostTypeId="1" Score="much" Body="x" />', "wrong_type"),
    ('  <row Id="1" PostTypeId="1" Body="&lt;br&gt;" />', "empty_text"),
    ('  <row Id="1" PostTypeId="1" Body="' + "&lt;b&gt;" * 2000 + '" />', "bad_html"),
]


@pytest.mark.parametrize("unit", ["thread", "post"])
@pytest.mark.parametrize(("row", "reason"), BAD_ROWS)
def test_a_damaged_row_costs_itself_only(notes: Notes, row: str, reason: str, unit: str) -> None:
    folder = notes({"site/Posts.xml": dump(question(4), row, question(5))})
    assert faults(source(folder, unit=unit)) == [("Posts.xml:4", reason)]
    rows = open_source(source(folder, unit=unit))
    assert [row.id for row in rows if isinstance(row, Document)] == ["site/4", "site/5"]


def test_a_damaged_answer_is_named_and_takes_its_thread_along(notes: Notes) -> None:
    damaged = '  <row Id="7" PostTypeId="2" ParentId="4" Body="&unknown;" />'
    folder = notes({"site/Posts.xml": dump(question(4), damaged, question(5))})
    first, second = open_source(source(folder))
    assert isinstance(first, Malformed) and isinstance(second, Document)
    assert (first.place, first.reason) == ("Posts.xml:3", "bad_xml")
    assert '<row Id="7"' in first.what


def test_answers_astray_and_ids_given_twice_are_named(notes: Notes) -> None:
    rows = [question(4), answer(7, 99), question(4), answer(8, 4), answer(8, 4)]
    folder = notes({"site/Posts.xml": dump(*rows)})
    found = {("Posts.xml:4", "no_question"), ("Posts.xml:5", "repeated_id"), ("Posts.xml:7", "repeated_id")}
    assert set(faults(source(folder))) == found


def test_long_posts_and_threads_are_refused(notes: Notes) -> None:
    rows = [question(4, Body="x" * 2000), question(5), *(answer(id, 5) for id in range(10, 40)), question(6)]
    folder = notes({"site/Posts.xml": dump(*rows)})
    found = faults(source(folder), 1000)
    assert found == [("Posts.xml:3", "too_large"), ("Posts.xml:4", "too_large")]
    assert faults(source(folder, unit="post"), 1000) == [("Posts.xml:3", "too_large")]


def test_a_dump_that_is_cut_off_is_named(notes: Notes) -> None:
    folder = notes({"site/Posts.xml": dump(question(4), question(5)).removesuffix("</posts>\n")})
    assert faults(source(folder)) == [("Posts.xml:4", "bad_xml")]


@pytest.mark.parametrize("at", [0, 3])
def test_a_document_type_is_refused_wherever_it_stands(notes: Notes, at: int) -> None:
    bomb = '<!DOCTYPE posts [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    lines = dump(question(4, Body="x" * 2000), question(5)).splitlines()
    lines.insert(at, bomb)
    folder = notes({"site/Posts.xml": "\n".join(lines)})
    with pytest.raises(RevelaError, match=r"Posts\.xml: it declares a DOCTYPE"):
        list(open_source(source(folder)))


def test_faults_are_found_before_work_starts(notes: Notes) -> None:
    folder = notes({"site/other.txt": "", "x/Posts.xml": "<html></html>"})
    with pytest.raises(RevelaError, match=r"site: no Posts.xml or Posts.xml.gz in it.*\.7z"):
        checked(source(folder))
    with pytest.raises(RevelaError, match=r"not the Posts.xml of a StackExchange dump"):
        checked(StackExchangeSource(kind="stackexchange", path=folder / "x" / "Posts.xml"))
    with pytest.raises(RevelaError, match="no such file or folder"):
        checked(StackExchangeSource(kind="stackexchange", path=folder / "y"))

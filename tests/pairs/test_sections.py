"""Titles, headings, passages and sentences of prose."""

from __future__ import annotations

import pytest
from finding import document, sentences

from revela.pairs.sections import PASSAGE_CHARACTERS, body_of, metadata_of, passages, sections, title_of
from revela.pairs.sections import sentences as spans

PARAGRAPH = (
    "It rests on nothing but what was said above, word for word, and nobody has ever doubted that so far."
)


def outline(text: str, kind: str) -> list[tuple[tuple[str, ...], str]]:
    """Headings and the first word below them, of the sections that have one."""
    return [
        (one.headings, one.text.split()[0])
        for one in sections(document(text, kind))
        if one.text and one.headings
    ]


@pytest.mark.parametrize(
    ("title", "id", "kept"),
    [
        ("How to boil tea", "1", "How to boil tea"),
        (" How to\n boil  tea ", "1", "How to boil tea"),
        ("TCP/IP for beginners", "1", "TCP/IP for beginners"),
        ("茶の淹れ方", "1", "茶の淹れ方"),
        ("tea/how-to-boil.md", "docs/tea/how-to-boil.md", ""),
        ("tea notes/how to boil.md", "docs/tea notes/how to boil.md", ""),
        ("notes.txt", "docs/notes.txt", ""),
        ("src/tea.py", "other", ""),
        ("Tea", "1", ""),
        ("argparse.ArgumentParser", "1", ""),
        ("how to boil", "how to boil", ""),
        ("", "1", ""),
    ],
)
def test_a_title_is_words_and_no_path_id_or_name(title: str, id: str, kept: str) -> None:
    assert title_of(document("text", title=title, id=id)) == kept


@pytest.mark.parametrize(
    "text",
    [
        "How to boil tea\n\n- first",
        "\n# How to Boil Tea\n- first",
        "How to boil tea\n===============\n\n- first",
        "===============\nHow to boil tea\n===============\n- first",
    ],
)
def test_a_body_is_the_text_without_its_title_and_the_lines_around_it(text: str) -> None:
    assert body_of(document(text, title="How to  boil tea")) == "- first"


@pytest.mark.parametrize("text", ["How to boil coffee\n\nfirst", "How to boil tea", "How to boil tea\n\n"])
def test_a_text_that_is_not_below_its_title_is_its_own_body(text: str) -> None:
    assert body_of(document(text, title="How to boil tea")) == text
    assert body_of(document("###\n\nfirst", title="")) == "###\n\nfirst"


def test_headings_of_markdown_nest_by_their_marks() -> None:
    text = "a\n# One\nb\n### Two #\nc\n```sh\n# no heading\n```\n## Three\nd\n#five\n# Four\ne\n"
    assert outline(text, "markdown") == [
        (("One",), "b"), (("One", "Two"), "c"), (("One", "Three"), "d"), (("Four",), "e")
    ]  # fmt: skip
    assert next(sections(document(text, "markdown"))).text == "a"


def test_headings_of_rst_nest_by_the_order_of_their_marks() -> None:
    text = (
        "====\nTop\n====\na\n\nOne\n---\nb\n\nTwo\n~~~\nc\n\nThree\n-----\nd\n\n"
        "longer than it\n---\ne\n\n----\n\nf\n"
    )
    assert outline(text, "rst") == [
        (("Top",), "a"), (("Top", "One"), "b"), (("Top", "One", "Two"), "c"), (("Top", "Three"), "d")
    ]  # fmt: skip


def test_headings_of_plain_text_stand_alone_above_a_paragraph() -> None:
    text = f"The first part\n\n{PARAGRAPH}\n\nAnother one (2)\n{PARAGRAPH}\n\nshort\n\n{PARAGRAPH}\n\nEnd\n"
    assert outline(text, "text") == [(("The first part",), "It"), (("Another one (2)",), "It")]


def test_headings_of_encyclopedias_end_in_a_period_between_whole_paragraphs() -> None:
    text = f"{PARAGRAPH}\nEducation.\n{PARAGRAPH}\nLater life.\n{PARAGRAPH}\n"
    assert outline(text, "text") == [(("Education",), "It"), (("Later life",), "It")]


def test_the_first_and_the_last_line_of_a_wrapped_paragraph_are_no_headings() -> None:
    wrapped = (
        "This software is provided as it is, without any express or\n"
        "implied warranty of any kind, and it was written a long time\n"
        "Ago.\n\nIn no event will its authors be held liable for any of what it does\n"
    )
    assert outline(wrapped, "text") == []
    assert outline(wrapped.replace("\n\n", "\n"), "text") == []


@pytest.mark.parametrize("kind", ["python", "json", "html"])
def test_what_is_no_prose_has_no_sections(kind: str) -> None:
    assert list(sections(document(f"# One\n{PARAGRAPH}", kind))) == []


def test_passages_are_whole_paragraphs_together() -> None:
    text = "\n \n".join([sentences(4, 0), sentences(4, 10), sentences(30, 20), "end"])
    first, *rest = passages(text)
    assert first == f"{sentences(4, 0)}\n\n{sentences(4, 10)}"
    assert all(len(passage) <= PASSAGE_CHARACTERS for passage in [first, *rest])
    assert " ".join(rest).split() == f"{sentences(30, 20)} end".split()
    assert list(passages(" \n\n \n")) == []


def test_a_long_paragraph_is_cut_between_sentences() -> None:
    found = list(passages(sentences(60)))
    assert len(found) >= 3 and " ".join(found) == sentences(60)
    assert all(passage.startswith("Sentence") and passage.endswith(".") for passage in found)
    assert all(PASSAGE_CHARACTERS / 2 < len(passage) <= PASSAGE_CHARACTERS for passage in found[:-1])


@pytest.mark.parametrize(
    "text", [sentences(60).lower(), "茶は中国から来た。" * 400, "a" * 5000, "ชา " * 2000]
)
def test_nothing_of_a_long_paragraph_is_lost_in_any_script(text: str) -> None:
    found = list(passages(text))
    assert "".join("".join(found).split()) == "".join(text.split())
    assert len(found) > 1 or text[0] in "aช"  # one sentence stays one passage


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("One ends. Another e.g. this one? Yes.", ["One ends. ", "Another e.g. this one? ", "Yes."]),
        ("one ends. another e.g. this one? yes.", ["one ends. ", "another e.g. this one? ", "yes."]),
        ("茶は来た。高い\uff1fはい。", ["茶は来た。", "高い\uff1f", "はい。"]),
        ("用python写。很快。", ["用python写。", "很快。"]),
        ("ชา มา จาก จีน", ["ชา มา จาก จีน"]),
        (" ", []),
    ],
)
def test_sentences_are_found_with_and_without_capitals(text: str, parts: list[str]) -> None:
    assert [text[slice(*span)] for span in spans(text)] == parts


def test_metadata_that_is_no_object_says_nothing() -> None:
    assert metadata_of(document("text", score=1)) == {"score": 1}
    one = document("text")
    assert metadata_of(type(one)(one.id, "", "text", "s", "text", "[1]")) == {}

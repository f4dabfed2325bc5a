"""From documents to pairs: what is left out, and why."""

from __future__ import annotations

from pathlib import Path
from typing import get_args
from zlib import crc32

import pytest
from finding import document, sentences, word, write_corpus

from revela.corpus.schema import Document
from revela.errors import RevelaError
from revela.pairs.generated import GENERATED
from revela.pairs.held_out import is_held_out
from revela.pairs.kinds import KINDS
from revela.pairs.mining import REASONS, Mined, mine
from revela.pairs.pair import LONGEST_PASSAGE, one_line, shorten
from revela.pairs.shares import STRENGTHS
from revela.settings import PairKind, PairsSettings


def titled(title: str, text: str = "", id: str = "") -> Document:
    """A document whose title stands for its text."""
    text = text or sentences(2, crc32(title.encode()) % 17_000)
    return document(text, title=title, id=id or f"page of {title}")


def mined(folder: Path, *documents: Document, protected: tuple[str, ...] = (), **settings: object) -> Mined:
    asked = PairsSettings(**{"kinds": {"title": 1}, **settings})
    return mine(write_corpus(folder / "documents", documents), asked, 0, protected, workers=1)


def titles(found: Mined) -> set[str]:
    return {pair.query for pair in found.pairs.get("title", [])}


def test_every_kind_is_known_everywhere() -> None:
    assert [*KINDS, GENERATED] == list(get_args(PairKind)) == list(STRENGTHS)


def test_a_pair_knows_where_it_comes_from(tmp_path: Path) -> None:
    found = mined(tmp_path, titled("How to\nboil tea", id="docs/tea"))
    [pair] = found.pairs["title"]
    assert (pair.kind, pair.query, pair.document_id, pair.source) == (
        "title", "How to boil tea", "docs/tea", "folder:docs"
    )  # fmt: skip
    assert (found.documents, found.dropped) == (1, {})


CASES: dict[str, tuple[list[Document], dict[str, object], int]] = {
    "short_query": ([titled("Boiling tea")], {}, 0),
    "long_query": ([titled(" ".join(map(word, range(65))))], {}, 0),
    "short_passage": ([titled("How to boil tea", "In a pot, for an hour.")], {}, 0),
    "benchmark_query": ([titled("How to boil tea?")], {"protected": ("how-to: BOIL tea", "other")}, 0),
    "repeated_query": ([titled("How to boil tea"), titled("how To  boil tea", sentences(3))], {}, 1),
    "repeated_passage": (
        [titled("How to boil tea", sentences(2)), titled("How to do it", sentences(2).replace(" ", "\n"))],
        {}, 1,
    ),
    "document_limit": (
        [document(f"# Some of my tea\n{sentences(3)}\n# More of my tea\n{sentences(3, 9)}\n", "markdown")],
        {"kinds": {"heading": 1}, "max_per_document": 1}, 1,
    ),
    "no_target": (
        [document("[how to boil tea](tea.md)", "markdown", id="docs/a.md")], {"kinds": {"link": 1}}, 0
    ),
    "pair_limit": ([titled("How to boil tea"), titled("How to drink tea")], {"max_pairs": 1}, 1),
}  # fmt: skip


@pytest.mark.parametrize("reason", CASES)
def test_what_is_left_out_is_counted_by_reason_and_kind(tmp_path: Path, reason: str) -> None:
    documents, rest, kept = CASES[reason]
    found = mined(tmp_path, *documents, **rest)
    [kind] = rest.get("kinds", {"title": 1})
    assert found.dropped == {reason: {kind: 1}}
    assert sum(map(len, found.pairs.values())) == kept


def test_every_reason_is_tested() -> None:
    of_generated = {"no_question", "not_found_again"}  # tests/questions
    assert {*CASES, "held_apart"} | of_generated == set(REASONS)


def two_ids(held_out: bool, share: float = 0.5) -> tuple[str, str]:
    """One id that is not held out, and another that is as asked."""
    ids = [f"docs/{number}.md" for number in range(100)]
    trained = [id for id in ids if not is_held_out(id, share, 0)]
    return trained[0], next(id for id in ids[::-1] if is_held_out(id, share, 0) == held_out)


@pytest.mark.parametrize("held_out", [False, True])
def test_a_link_stands_for_the_page_that_it_points_to(tmp_path: Path, held_out: bool) -> None:
    here, there = two_ids(held_out)
    link = document(f"See [how to boil tea]({Path(there).name}).", "markdown", id=here)
    page = document(f"Boiling tea\n\n{sentences(4)}\n\n{sentences(40, 9)}", "markdown", "Boiling tea", there)
    found = mined(tmp_path, link, page, kinds={"link": 1}, held_out=0.5)
    if held_out:
        # Its text would be trained on by way of the other page.
        assert found.dropped == {"held_apart": {"link": 1}} and found.pairs == {}
        return
    [pair] = found.pairs["link"]
    assert (pair.query, pair.passage, pair.document_id) == ("how to boil tea", sentences(4), here)


def test_repeats_are_told_within_a_kind_only(tmp_path: Path) -> None:
    page = document(f"# How to boil tea\n\n{sentences(3)}", "markdown", "How to boil tea", "1")
    found = mined(tmp_path, page, kinds={"title": 1, "heading": 1})
    assert {kind: len(pairs) for kind, pairs in found.pairs.items()} == {"title": 1, "heading": 1}
    assert found.dropped == {}


def test_which_pairs_stay_does_not_depend_on_the_order_of_documents(tmp_path: Path) -> None:
    pages = [titled(f"How to boil {word(number)}") for number in range(30)]
    first = mined(tmp_path, *pages, max_pairs=10)
    (tmp_path / "again").mkdir()
    again = mined(tmp_path / "again", *reversed(pages), max_pairs=10)
    assert first.pairs == again.pairs and len(first.pairs["title"]) == 10
    assert first.dropped == {"pair_limit": {"title": 20}}
    (tmp_path / "fewer").mkdir()
    fewer = mined(tmp_path / "fewer", *pages[:20], max_pairs=10)
    assert len(titles(fewer) & titles(first)) >= 5  # a corpus that grows keeps most of them


def test_another_seed_draws_other_pairs(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "documents", [titled(f"How to boil {word(one)}") for one in range(30)])
    settings = PairsSettings(kinds={"title": 1}, max_pairs=10)
    assert len({frozenset(titles(mine(corpus, settings, seed, workers=1))) for seed in range(4)}) == 4
    everything = mine(corpus, settings.model_copy(update={"max_pairs": None}), 0, workers=1)
    assert len(everything.pairs["title"]) == 30


def test_line_ends_of_windows_are_read_as_others_are(tmp_path: Path) -> None:
    text = (
        f"# Boil some tea\n\n{sentences(4)}\n\n{sentences(5, 9)}\n\n# Drink it all\n\n{sentences(40, 20)}\n"
    )
    auto = {"kinds": "auto"}
    plain = mined(tmp_path, document(text, "markdown"), **auto)
    (tmp_path / "windows").mkdir()
    windows = mined(tmp_path / "windows", document(text.replace("\n", "\r\n"), "markdown"), **auto)
    assert plain.pairs == windows.pairs and set(plain.pairs) == {"heading", "sentence", "cloze", "halves"}


def test_kinds_that_are_not_asked_for_are_not_looked_for(tmp_path: Path) -> None:
    page = document(sentences(9), title="How to boil tea", id="1")
    assert list(mined(tmp_path, page, kinds={"halves": 1, "title": 2}).pairs) == ["title", "halves"]


def test_without_a_corpus_there_are_no_pairs(tmp_path: Path) -> None:
    with pytest.raises(RevelaError, match="filter_corpus"):
        mine(tmp_path, PairsSettings(), 0, workers=1)


def test_a_long_passage_is_cut_at_a_line_or_a_word() -> None:
    lines = "\n".join(sentences(1, number) for number in range(100))
    assert shorten(lines) == lines[: len(shorten(lines))] and lines[len(shorten(lines))] == "\n"
    words = one_line(lines)
    assert words.startswith(shorten(words)) and words[len(shorten(words))] == " "
    assert len(shorten("茶" * 5000)) == LONGEST_PASSAGE
    assert shorten("short") == "short"


def test_what_is_held_out_is_a_matter_of_id_and_seed_alone() -> None:
    ids = [f"page {number}" for number in range(2000)]

    def held(share: float, seed: int) -> set[str]:
        return {id for id in ids if is_held_out(id, share, seed)}

    assert held(0.1, 0) == held(0.1, 0) != held(0.1, 1)
    assert held(0.1, 0) < held(0.2, 0)  # a larger share holds out more, and all that a smaller one does
    assert 150 < len(held(0.1, 0)) < 250
    assert is_held_out("page 3", 0.1, 0) == ("page 3" in held(0.1, 0))

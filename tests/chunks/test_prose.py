"""Sentences, and code in Markdown and reStructuredText."""

from __future__ import annotations

from itertools import pairwise

import pytest
from tokenizers import Tokenizer

from revela.chunks.boundaries import find_boundaries
from revela.chunks.chunk import Chunk
from revela.chunks.chunking import Chunker
from revela.chunks.prose import sentence_starts
from revela.corpus.schema import Document


@pytest.mark.parametrize(
    "text",
    [
        "One ends here.| Another? |Yes! |Done.",
        "See e.g. the list, i.e. This one.| Next",
        "Dr. Smith and J. R. Tolkien met Mrs. Jones on Jan. 5 in the U.S. Congress.| They left",
        "It costs 3.14 or v. 2.0 in Fig. 3 of Vol. 2.| And then",
        "1. First item\n2. Second item",
        "It happened in 1999. |Then nothing",
        "He said \"stop.\" |She did",
        "the function foo. bar is not a sentence",
        "一。|二",
    ],
)  # fmt: skip
def test_sentences_begin_after_their_ends_and_not_after_abbreviations(text: str) -> None:
    marked = text.replace(".| ", ". |")
    plain, wanted = "", []
    for part in marked.split("|"):
        wanted.append(len(plain := plain + part))
    assert [start for start in sentence_starts(plain) if start < len(plain)] == [
        start for start in wanted if start < len(plain)
    ]


def whole(text: str, kind: str) -> list[str]:
    return [text[start:end] for start, end in find_boundaries(text, kind).whole]


def test_markdown_keeps_fenced_and_indented_code() -> None:
    fenced, indented = "```py\na\n\n# b\n~~~\n```\n", "    c\n\n    d\n"
    assert whole(f"Text\n{fenced}More:\n\n{indented}\nEnd\n", "markdown") == [fenced, indented]
    assert whole("- item\n\n    its second paragraph\n\nText\n    lazy line\n", "markdown") == []
    assert whole("````\n```\n````\n", "markdown") == ["````\n```\n````\n"]


def test_rst_keeps_literal_blocks_code_and_doctests() -> None:
    literal = "    a = 1\n\n    b = 2\n"
    code = ".. code-block:: python\n   :linenos:\n\n   c()\n"
    doctest = ">>> f()\n1\n"
    text = f"Like this::\n\n{literal}\nThen\n\n{code}\nAnd\n\n{doctest}\n.. note::\n\n    a note\n\nEmpty::\n"
    assert whole(text, "rst") == [literal, code, doctest]


def chunks_of(text: str, kind: str, tokenizer: Tokenizer, maximum: int, **more: int) -> list[Chunk]:
    [(_, chunks)] = Chunker(tokenizer, maximum, 8, 0.5, **more).chunks([Document("d", "", text, "s", kind)])
    return chunks


SENTENCES = "The string has a value and the list has none. "


@pytest.mark.parametrize("before", range(2, 14))
def test_a_block_of_code_is_cut_only_when_it_alone_is_too_long(before: int, tokenizer: Tokenizer) -> None:
    code = "```\n" + "".join(f"total += {n}\n\n" for n in range(12)) + "```\n"
    size = len(tokenizer.encode(code))
    text = f"{SENTENCES * before}\n{code}{SENTENCES * 8}\n"
    chunks = chunks_of(text, "markdown", tokenizer, size + 4)
    assert any(code.rstrip() in chunk.text for chunk in chunks)
    chunks = chunks_of(text, "markdown", tokenizer, size - 8)
    assert not any(code.rstrip() in chunk.text for chunk in chunks)


class TestOverlap:
    TEXT = "".join(f"The string number {n} has a value and the list has none. " for n in range(60))

    def test_a_chunk_repeats_whole_sentences_of_the_one_before(self, tokenizer: Tokenizer) -> None:
        chunks = chunks_of(self.TEXT, "text", tokenizer, 100, overlap_tokens=40)
        repeated = [self.TEXT[b.start : a.end] for a, b in pairwise(chunks)]
        assert len(repeated) > 5
        for text in repeated:
            assert text.startswith("The string") and text.endswith("none.")
            assert len(tokenizer.encode(text)) <= 40
        assert all(chunk.tokens <= 100 for chunk in chunks)

    @pytest.mark.parametrize("overlap", [1, 20, 50])
    def test_nothing_is_lost_and_every_chunk_brings_new_text(
        self, overlap: int, tokenizer: Tokenizer
    ) -> None:
        chunks = chunks_of(self.TEXT, "text", tokenizer, 100, overlap_tokens=overlap)
        ends = [0, *(chunk.end for chunk in chunks)]
        assert ends == sorted(set(ends)) and ends[-1] == len(self.TEXT.rstrip())
        for end, chunk in zip(ends, chunks, strict=False):
            assert not self.TEXT[end : chunk.start].strip()

    def test_none_is_asked_for_and_none_comes(self, tokenizer: Tokenizer) -> None:
        chunks = chunks_of(self.TEXT, "text", tokenizer, 100)
        assert all(a.end <= b.start for a, b in pairwise(chunks))

    def test_sections_repeat_nothing_of_other_sections(self, tokenizer: Tokenizer) -> None:
        text = "".join(f"# Part {n}\n\n{SENTENCES * (5 + n)}\n" for n in range(8))
        chunks = chunks_of(text, "markdown", tokenizer, 100, overlap_tokens=30)
        assert any(b.start < a.end for a, b in pairwise(chunks))
        for before, chunk in pairwise(chunks):
            assert "# Part" not in text[chunk.start : before.end]
            assert chunk.start >= before.end or text.rfind("# Part", 0, before.end) <= chunk.start

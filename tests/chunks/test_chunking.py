"""Chunks: bounded, exact, cut at good places."""

from __future__ import annotations

import argparse
import email.message
import json
import random
import re
import statistics
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from revela.chunks.chunk import Chunk
from revela.chunks.chunking import Chunker
from revela.chunks.query_split import query_end
from revela.chunks.tokenizer import load_tokenizer
from revela.corpus.schema import Document
from revela.errors import RevelaError


def document(text: str, kind: str = "text") -> Document:
    return Document("a/b.txt", "A title", text, "folder:a", kind)


def mixed_text(seed: int) -> str:
    """Words, code, emoji, CJK, combining marks and every line end, at random."""
    generator = random.Random(seed)
    parts = [
        "word",
        "def f(x):",
        "🦜",
        "日本語。",
        "e\u0301",
        "x" * 300,
        ".",
        "\u2028",
        "👩\u200d👩\u200d👧",
        "\t",
        "\U0001d54f",
        "# T",
    ]
    ends = [" ", "\n", "\r\n", "\n\n", "\r", "  ", ""]
    return "".join(generator.choice(parts) + generator.choice(ends) for _ in range(400))


REAL = [
    (Path(module.__file__).read_text(), "python") for module in (argparse, email.message, statistics, json)
]
MIXED = [(mixed_text(seed), kind) for seed, kind in enumerate(["text", "python", "markdown", "rst", "toml"])]


@pytest.mark.parametrize(("text", "kind"), REAL + MIXED)
@pytest.mark.parametrize(("max_tokens", "min_tokens"), [(16, 4), (100, 20), (128, 128)])
def test_every_chunk_is_exact_bounded_and_in_order(
    text: str, kind: str, max_tokens: int, min_tokens: int, tokenizer: Tokenizer
) -> None:
    chunker = Chunker(tokenizer, max_tokens, min_tokens, query_ratio=0.5)
    [(_, chunks)] = chunker.chunks([document(text, kind)])
    assert chunks
    end = 0
    for chunk in chunks:
        assert chunk.chunk_id == f"a/b.txt#{chunk.start_byte}-{chunk.end_byte}"
        assert text.encode()[chunk.start_byte : chunk.end_byte] == chunk.text.encode()
        assert text[chunk.start : chunk.end] == chunk.text
        assert chunk.start >= end
        end = chunk.end
        own = tokenizer.encode(chunk.text, add_special_tokens=False)
        assert chunk.tokens == len(own) and min_tokens <= chunk.tokens <= max_tokens
        assert chunk.text == chunk.text.rstrip()
        assert re.split(r"[\r\n]", chunk.text)[0].strip()
        assert chunk.text[: chunk.query_end].strip() and chunk.text[chunk.query_end :].strip()
        assert chunk.query_end in {token_end for _, token_end in own.offsets}


@pytest.mark.parametrize(("text", "kind"), REAL + MIXED)
def test_no_visible_text_is_lost_but_what_is_counted(text: str, kind: str, tokenizer: Tokenizer) -> None:
    chunker = Chunker(tokenizer, 100, 1, query_ratio=0.5)
    [(_, chunks)] = chunker.chunks([document(text, kind)])
    lost = len("".join(text.split())) - sum(len("".join(chunk.text.split())) for chunk in chunks)
    # A single token has no query and rest; nothing else can be left out when min_tokens is 1.
    assert (lost == 0) == (chunker.dropped.total() == 0)
    assert set(chunker.dropped) <= {"no_query_split"}


def chunks_of(text: str, kind: str, tokenizer: Tokenizer, maximum: int, minimum: int) -> list[Chunk]:
    [(_, chunks)] = Chunker(tokenizer, maximum, minimum, 0.5).chunks([document(text, kind)])
    return chunks


def function(name: str, statements: int) -> str:
    return f"def {name}():\n" + "".join(f"    {name}_{n} = {n}\n" for n in range(statements))


def test_functions_that_fit_stay_whole(tokenizer: Tokenizer) -> None:
    functions = [function(name, 8) for name in ("alpha", "beta", "gamma")]
    chunks = chunks_of("\n\n".join(functions), "python", tokenizer, maximum=128, minimum=20)
    assert [chunk.text for chunk in chunks] == [text.rstrip() for text in functions]


def test_small_neighbours_are_packed_until_they_are_large_enough(tokenizer: Tokenizer) -> None:
    functions = [function(name, 1) for name in ("one", "two", "three", "four")]
    sizes = [len(tokenizer.encode(text, add_special_tokens=False)) for text in functions]
    chunks = chunks_of("\n".join(functions), "python", tokenizer, 128, minimum=max(sizes) + 1)
    assert [chunk.text.count("def ") for chunk in chunks] == [2, 2]


def test_a_class_line_goes_with_its_first_method(tokenizer: Tokenizer) -> None:
    text = function("before", 6) + "\nclass A(Base):\n\n    def m(self):\n" + "        self.x = 1\n" * 6
    chunks = chunks_of(text, "python", tokenizer, maximum=128, minimum=24)
    assert chunks[1].text.startswith("class A(Base):\n\n    def m(self):")


def test_a_long_function_is_cut_at_a_blank_line_rather_than_any_other(tokenizer: Tokenizer) -> None:
    first, second = "def f():\n" + "    total += 1\n" * 11, "    count += 1\n" * 11
    sizes = [len(tokenizer.encode(text, add_special_tokens=False)) for text in (first, second)]
    maximum = max(sizes) + 8
    assert sum(sizes) > maximum and maximum // 2 < min(sizes)
    chunks = chunks_of(f"{first}\n{second}", "python", tokenizer, maximum, minimum=16)
    assert [chunk.text for chunk in chunks] == [first.rstrip(), second.rstrip()]


def test_sections_of_markdown_are_chunks(tokenizer: Tokenizer) -> None:
    sections = [f"# Part {name}\n\n" + "Some words about it.\n" * 6 for name in ("one", "two", "three")]
    chunks = chunks_of("".join(sections), "markdown", tokenizer, maximum=100, minimum=20)
    assert [chunk.text for chunk in chunks] == [section.rstrip() for section in sections]


def test_a_paragraph_is_cut_between_sentences(tokenizer: Tokenizer) -> None:
    text = "The string has a value and the list has none. " * 40
    chunks = chunks_of(text, "text", tokenizer, maximum=100, minimum=20)
    assert len(chunks) > 3
    assert all(chunk.text.startswith("The") and chunk.text.endswith("none.") for chunk in chunks)


def test_short_ends_are_dropped_and_counted(tokenizer: Tokenizer) -> None:
    chunker = Chunker(tokenizer, 32, 16, 0.5)
    assert [chunks for _, chunks in chunker.chunks([document("a b"), document("")])] == [[], []]
    assert chunker.dropped == {"short_chunk": 1}


def test_a_text_of_one_token_over_and_over_is_still_cut(tokenizer: Tokenizer) -> None:
    chunks = chunks_of("🦜" * 200, "text", tokenizer, maximum=32, minimum=8)
    assert "".join(chunk.text for chunk in chunks) == "🦜" * 200


class TestQueryEnd:
    def test_the_cut_is_the_token_boundary_nearest_to_the_ratio(self) -> None:
        offsets = [(0, 2), (2, 4), (4, 6), (6, 8)]
        assert query_end("abcdefgh", offsets, 0.5) == 4
        assert query_end("abcdefgh", offsets, 0.25) == 2
        assert query_end("abcdefgh", offsets, 0.99) == 6

    def test_a_character_of_several_tokens_stays_whole(self) -> None:
        assert query_end("a🦜b", [(0, 1), (1, 2), (1, 2), (1, 2), (2, 3)], 0.5) in (1, 2)
        assert query_end("🦜", [(0, 1), (0, 1), (0, 1)], 0.5) is None

    def test_both_sides_are_visible(self) -> None:
        assert query_end("a    b", [(0, 1), (1, 3), (3, 5), (5, 6)], 0.9) == 5
        assert query_end("    ab", [(0, 2), (2, 4), (4, 5), (5, 6)], 0.3) == 5
        assert query_end("  a", [(0, 2), (2, 3)], 0.5) is None


class TestLoadTokenizer:
    def test_truncation_and_padding_of_the_file_are_ignored(self, tokenizer_dir: Path) -> None:
        assert len(Tokenizer.from_file(str(tokenizer_dir / "tokenizer.json")).encode("a b " * 20)) == 8
        assert len(load_tokenizer(tokenizer_dir).encode("a b " * 20)) > 20
        assert len(load_tokenizer(tokenizer_dir).encode("a")) == 1

    def test_a_missing_or_broken_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(RevelaError, match="Run the stage prepare_backbone first"):
            load_tokenizer(tmp_path)
        (tmp_path / "tokenizer.json").write_text("{}")
        with pytest.raises(RevelaError, match=r"tokenizer\.json: not a tokenizer"):
            load_tokenizer(tmp_path)

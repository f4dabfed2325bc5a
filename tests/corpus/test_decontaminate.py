"""Benchmarks stay out of the corpus."""

from __future__ import annotations

import subprocess
import sys

import pytest
from corpora import document

from revela.corpus.decontaminate import Decontaminator, Overlap, find_overlaps
from revela.corpus.filters.base import View

FUNCTION = """
def shuffle(items, generator):
    for index in reversed(range(1, len(items))):
        other = generator.randrange(index + 1)
        items[index], items[other] = items[other], items[index]
"""
WORDS = [f"word{number}" for number in range(14)]


def test_a_document_with_a_shared_run_is_dropped_with_the_run_as_detail() -> None:
    rule = Decontaminator([" ".join(WORDS)], words=13)
    copied = document("Before. " + ", ".join(WORDS[:13]).upper() + "; after.")
    assert rule.reason == "benchmark_overlap"
    assert rule(View(copied)) == "shared: " + " ".join(WORDS[:13])


def test_one_word_less_is_kept() -> None:
    rule = Decontaminator([" ".join(WORDS)], words=13)
    assert rule(View(document("zero " + " ".join(WORDS[:12]) + " other"))) is None


def test_a_copied_function_is_found_whatever_its_layout() -> None:
    rule = Decontaminator([FUNCTION], words=13)
    copied = "class Deck:\n" + "\n".join(f"        {line}" for line in FUNCTION.splitlines()) + "\n    pass\n"
    assert rule(View(document(copied, kind="python"))) is not None
    assert rule(View(document(FUNCTION.replace("items", "cards"), kind="python"))) is None


def test_a_protected_text_of_8_to_12_words_matches_as_a_whole() -> None:
    rule = Decontaminator([" ".join(WORDS[:8])], words=13)
    assert rule(View(document("zero " + " ".join(WORDS[:9])))) is not None
    assert rule(View(document(" ".join(WORDS[:7])))) is None


def test_a_protected_text_below_8_words_is_not_used() -> None:
    assert Decontaminator([" ".join(WORDS[:7])], words=13)(View(document(" ".join(WORDS[:9])))) is None


def test_without_protected_texts_everything_is_kept() -> None:
    assert Decontaminator([], words=13)(View(document(FUNCTION))) is None


def test_the_verdict_does_not_depend_on_the_process() -> None:
    program = (
        "from revela.corpus.decontaminate import Decontaminator;"
        "rule = Decontaminator([' '.join(map(str, range(20)))], 13);"
        "print(rule._protected[13].tolist())"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


def test_contained_texts_are_found_white_space_aside() -> None:
    texts = ["nothing here", "class A:\r\n" + FUNCTION.replace("    ", "\t") + "tail", FUNCTION[:-10]]
    assert find_overlaps(texts, ["something else entirely, long enough to have a window", FUNCTION]) == [
        Overlap(text=1, protected=1)
    ]


@pytest.mark.parametrize("length", [1, 5, 31, 32, 33, 64, 200])
def test_texts_of_any_length_are_found_at_the_beginning_inside_and_at_the_end(length: int) -> None:
    sought = "".join(chr(0x4E00 + number) for number in range(length))
    texts = [sought, f"a {sought} b", f"b{sought}", sought[:-1] + "!"]
    assert [found.text for found in find_overlaps(texts, [sought])] == [0, 1, 2]


def test_texts_that_begin_alike_are_told_apart_and_blank_ones_ignored() -> None:
    common = "x" * 40
    protected = [common + "a", " \n", common + "b"]
    assert find_overlaps([common + "b"], protected) == [Overlap(0, 2)]


def test_both_ways_agree_on_a_real_module() -> None:
    """What is contained as a whole also shares a run of words."""
    import ast
    import inspect
    import textwrap

    source = inspect.getsource(textwrap)
    functions = [
        ast.get_source_segment(source, node)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef)
    ]
    long = [text for text in functions if text and len(text.split()) > 20]
    assert len(long) >= 5
    for text in long:
        assert find_overlaps([source], [text]) == [Overlap(0, 0)]
        assert Decontaminator([text], words=13)(View(document(source))) is not None

"""Texts that contain one of many others as a whole, and the set of hashes behind the search."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from protected import FUNCTION, overlap

from revela.corpus.decontaminate import Overlap, find_overlaps
from revela.corpus.hash_set import HashSet


def test_a_hash_set_finds_its_members_and_no_stranger() -> None:
    generator = np.random.default_rng(0)
    members, strangers = generator.integers(0, 2**64, (2, 10_000), np.uint64)
    known = pickle.loads(pickle.dumps(HashSet(np.concatenate([members, members[:50]]))))
    positions, places = known.find(np.concatenate([strangers, members]))
    assert positions.tolist() == list(range(10_000, 20_000))
    assert np.array_equal(known.members[places], members)
    assert len(known) == 10_000
    assert [len(found) for found in HashSet(np.zeros(0, np.uint64)).find(members)] == [0, 0]


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
        assert overlap(text, source)

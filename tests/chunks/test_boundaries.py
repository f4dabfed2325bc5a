"""Where a text may be cut well."""

from __future__ import annotations

import warnings

import pytest

from revela.chunks.boundaries import LINE, PARAGRAPH, SENTENCE, WORD, find_boundaries

PYTHON = '''"""Module."""
import os

# About f.
@decorated(
    1)
def f():
    def inner():
        pass


class C:
    """Class."""

    x = 1

    # About m.
    async def m(self):
        pass
    y = 2

    @property
    def n(self): pass

try:
    def g(): pass
except ImportError:
    g = None
else:
    class D: pass
last = 1
'''


def first_lines(text: str, kind: str) -> list[str]:
    """The lines at the hard boundaries."""
    return [text[position:].splitlines()[0] for position in find_boundaries(text, kind).hard]


def test_python_is_cut_at_functions_methods_and_classes_with_comments_and_decorators() -> None:
    assert first_lines(PYTHON, "python") == [
        "# About f.",
        "class C:",
        "    # About m.",
        "    y = 2",
        "    @property",
        "try:",
        "    def g(): pass",
        "    class D: pass",
    ]


@pytest.mark.parametrize("newline", ["\r\n", "\r"])
def test_line_numbers_hold_for_every_line_end(newline: str) -> None:
    text = PYTHON.replace("\n", newline)
    assert first_lines(text, "python") == first_lines(PYTHON, "python")


def test_form_feeds_and_exotic_line_ends_do_not_shift_functions() -> None:
    text = "x = '\u2028'\n\x0c\ny = 1\n\ndef f():\n    pass\n"
    assert first_lines(text, "python") == ["def f():"]


@pytest.mark.parametrize("text", ["print 'two'\ndef f(:\n", "x = 1\0", "(" * 500 + "\n"])
def test_what_is_not_python_falls_back_to_lines(text: str) -> None:
    boundaries = find_boundaries(text, "python")
    assert boundaries.hard == []
    assert boundaries.soft[0] == LINE


def test_other_peoples_invalid_escapes_are_not_our_warnings() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert first_lines("x = '\\d'\ndef f(): pass\n", "python") == ["def f(): pass"]


def test_markdown_is_cut_at_headings_outside_fences() -> None:
    text = "intro\n# One\n```\n# comment\n~~~\n```\n## Two\n#hashtag\n"
    assert first_lines(text, "markdown") == ["# One", "## Two"]


def test_rst_is_cut_at_titles_from_their_overline_on() -> None:
    text = "intro\n\n=====\nTitle\n=====\n\nPart\n----\ntext\n\nshort\n--\nToo long a line\n------\n"
    assert first_lines(text, "rst") == ["=====", "Part"]


def test_soft_boundaries_are_graded() -> None:
    text = "One two. Three\nfour\n\n  five"
    grades = find_boundaries(text, "text").soft
    assert [(text[position:].split()[0], grade) for position, grade in sorted(grades.items())] == [
        ("One", LINE),
        ("two.", WORD),
        ("Three", SENTENCE),
        ("four", LINE),
        ("five", PARAGRAPH),
        ("five", WORD),
    ]
    assert find_boundaries("一。二", "text").soft[2] == SENTENCE

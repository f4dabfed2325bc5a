"""What points elsewhere in a text: links to other pages, captions to figures."""

from __future__ import annotations

import pytest
from finding import document, found

from revela.pairs.kinds import KINDS
from revela.pairs.kinds.link import resolved
from revela.pairs.sections import PASSAGE_CHARACTERS


def links(text: str, kind: str, id: str, title: str = "") -> list[tuple[str, str]]:
    pairs = list(KINDS["link"](document(text, kind, title, id)))
    assert all(pair.points_to for pair in pairs)
    return [(pair.query, pair.passage) for pair in pairs]


@pytest.mark.parametrize(
    ("target", "page"),
    [
        ("setup.md", "docs/guide/setup.md"),
        ("../setup.md", "docs/setup.md"),
        ("./more/./a.md", "docs/guide/more/a.md"),
        ("setup", "docs/guide/setup.md"),
        ("/api/a.md", "docs/api/a.md"),
        ("../../../far.md", "../far.md"),
    ],
)
def test_a_target_is_resolved_below_the_source(target: str, page: str) -> None:
    assert resolved(target, "docs/guide/first.md", "docs/") == page


def test_links_of_markdown_to_other_files_are_found() -> None:
    text = (
        "See [how to *set* it up](setup.md), [**the second page**](../b.md#part), [third](c%20d.md \"C\"),\n"
        "[the root](/e.md), [here](#below), [there](https://a.b/c.md), [mail](mailto:a@b), [two](//a.b/c),\n"
        "[asked](f.md?x=1), ![a picture](g.md), [![a badge](h.svg)](i.md) and [not\none](j.md).\n"
    )  # fmt: skip
    assert links(text, "markdown", "docs/guide/a.md", "guide/a.md") == [
        ("how to *set* it up", "docs/guide/setup.md"),
        ("the second page", "docs/b.md"),
        ("third", "docs/guide/c d.md"),
        ("the root", "docs/e.md"),
    ]


def test_links_of_rst_to_other_files_are_found() -> None:
    text = (
        "See :doc:`how to set\nit up <setup>`, :doc:`the root </api/index>`, `a page <b.html>`_, :doc:`x`,\n"
        "`elsewhere <https://a.b/c.html>`_ and `code <T>`.\n"
    )
    assert links(text, "rst", "docs/guide/a.rst", "guide/a.rst") == [
        ("how to set it up", "docs/guide/setup.rst"),
        ("the root", "docs/api/index.rst"),
        ("a page", "docs/guide/b.html"),
    ]
    assert links(text, "text", "docs/guide/a.txt") == []


@pytest.mark.parametrize(
    ("figure", "caption"),
    [
        ("![The pot in use](pot.png)", "The pot in use"),
        ('![pot](pot.png "The pot in use")', "The pot in use"),
        ('<img src="pot.png"\nalt="The pot in use" width="3">', "The pot in use"),
    ],
)
def test_a_caption_of_markdown_stands_for_the_paragraphs_around_it(figure: str, caption: str) -> None:
    text = f"# Tea\n\nfar before\n\nright before\n\n{figure}\n\nright after\n\nfar after\n"
    assert found("caption", text, "markdown") == [(caption, "right before\n\nright after")]
    assert found("caption", f"in {figure} one", "markdown") == [(caption, "in\n\none")]
    assert found("caption", figure, "markdown") == []
    assert found("caption", text, "text") == []


@pytest.mark.parametrize(
    ("directive", "captions"),
    [
        (".. figure:: pot.png\n   :width: 3\n\n   The pot\n   in use\n\n   A legend.\n", ["The pot in use"]),
        (".. figure:: pot.png\n   :alt: The pot in use\n\n   Another.\n", ["The pot in use"]),
        (".. image:: pot.png\n   :alt: The pot in use\n", ["The pot in use"]),
        (".. image:: pot.png\n", []),
        (".. figure:: pot.png\n", []),
        (".. code-block:: sh\n   :caption: The pot in use\n\n   boil\n", ["The pot in use"]),
        (".. code-block:: sh\n\n   boil\n", []),
        (".. list-table:: The pot in use\n   :header-rows: 1\n\n   * - a\n", ["The pot in use"]),
        (".. note:: The pot in use\n", []),
    ],
)
def test_captions_of_rst_are_found(directive: str, captions: list[str]) -> None:
    around = f"far\n\nright before\n\n{directive}\nright after\n\nfar\n"
    assert found("caption", around, "rst") == [(one, "right before\n\nright after") for one in captions]
    at_the_end = f"right before\n\n{directive}".rstrip()
    assert found("caption", at_the_end, "rst") == [(one, "right before") for one in captions]


def test_what_is_around_a_figure_is_no_longer_than_a_passage() -> None:
    [(_, around)] = found("caption", "before " * 1000 + "\n\n![The pot in use](pot.png)", "markdown")
    assert len(around) <= PASSAGE_CHARACTERS

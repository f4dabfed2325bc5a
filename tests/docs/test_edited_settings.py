"""Somebody who edits the shipped params.yaml as the pages say, by hand: sections replaced as text."""

from __future__ import annotations

import re
import shutil
import textwrap

import pytest
from pages import ROOT, blocks

from revela.ablations.plan import plan
from revela.settings import load_settings

# Their examples are whole sections, or entries of the list `corpus.sources`; other pages show single keys.
TYPED = ("README.md", "docs/your_corpus.md", "docs/corpus.md", "docs/ablations.md")
EDITS = [
    pytest.param(block.text, id=f"{page}:{block.line}")
    for page in TYPED
    for block in blocks(ROOT / page)
    if block.language == "yaml"
]

_HEAD = re.compile(r"^(\w+):", re.MULTILINE)


def sections(text: str) -> dict[str, str]:
    """Name -> text, comments and all, from the line that begins a section to that of the next one."""
    heads = list(_HEAD.finditer(text))
    ends = [head.start() for head in heads[1:]] + [len(text)]
    return {head[1]: text[head.start() : end] for head, end in zip(heads, ends, strict=True)}


def edited(text: str, block: str) -> str:
    """`text` with the sections that `block` names replaced by its own, and those not there yet appended."""
    if block.startswith("- "):
        block = "corpus:\n  sources:\n" + textwrap.indent(block, "    ")
    there = sections(text)
    for name, section in sections(block).items():
        text = text.replace(there[name], section) if name in there else text + section
    return text


@pytest.mark.parametrize("block", EDITS)
def test_a_section_is_replaced_as_a_page_shows_it_and_everything_else_still_holds(block, tmp_path):
    before = (ROOT / "params.yaml").read_text(encoding="utf-8")
    after = edited(before, block)
    assert after != before
    shutil.copy(ROOT / "ablations.yaml", tmp_path)
    path = tmp_path / "params.yaml"
    path.write_text(after, encoding="utf-8")
    settings = load_settings(path)
    left_out: list[str] = []
    assert plan(settings, warn=left_out.append)
    assert not left_out, "`revela check` says no faults found"


def test_there_are_edits_on_every_page_and_sections_are_cut_where_they_begin():
    ids = [edit.id for edit in EDITS]
    assert all(any(name.startswith(f"{page}:") for name in ids) for page in TYPED)
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    cut = sections(text)
    assert list(cut) == [
        "seed", "backbone", "corpus", "batches", "objective", "training", "evaluate", "registry"
    ]  # fmt: skip
    assert text.endswith("".join(cut.values()))
    replaced = edited(text, "corpus:\n  sources: []\n")
    assert sections(replaced) == cut | {"corpus": "corpus:\n  sources: []\n"}

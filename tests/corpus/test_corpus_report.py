"""The page about a filtered corpus: complete, the same every time, and safe from what it shows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from revela.corpus.counts import Counts
from revela.corpus.plots import LENGTH_EDGES, length_histogram
from revela.corpus.report import Lengths, Sample, write_report


def metrics() -> dict[str, Any]:
    counts = Counts(records=1203)
    for number, (name, size) in enumerate({"folder:notes": 700, "hub:Tevatron/wikipedia": 500}.items()):
        source = counts.of(name)
        source.read, source.kept, source.characters, source.words = (
            size,
            size - 150,
            size * 10**4,
            size * 1700,
        )
        source.dropped.update(too_few_words=90 - 20 * number, near_duplicate=60 + 20 * number)
    counts.of("folder:notes").malformed = 3
    counts.malformed_reasons["bad_json"] = 3
    counts.edits["secrets"] = 7
    counts.edited_documents["secrets"] = 5
    return counts.as_metrics()


WORDS = np.exp(np.random.default_rng(0).normal(6, 1.2, 1200))
LENGTHS = Lengths(length_histogram(WORDS), length_histogram(WORDS[WORDS > 100]))
HOSTILE = "```\n# injected\n````text\n<script>alert(1)</script>\u202e\x1b[31m" + " tail" * 200


def sample(text: str = "some text", detail: str = "3 words, at least 40 wanted") -> Sample:
    return Sample("notes/a|b.txt", "folder:notes", "too_few_words", detail, text)


def page(folder: Path, samples: list[Sample], redact=lambda text: text, found: dict | None = None) -> str:
    write_report(found or metrics(), LENGTHS, samples, folder, redact)
    return (folder / "report.md").read_text(encoding="utf-8")


def test_the_page_names_every_rule_source_edit_and_fault(tmp_path: Path) -> None:
    text = page(tmp_path, [sample()])
    assert "1,200 documents read, **900 kept** (75.0%), 300 dropped" in text
    assert "| `too_few_words` | 160 | 13.3% |" in text
    assert "| `near_duplicate` | 140 | 11.7% |" in text
    assert "| `folder:notes` | 700 | 550 | 3 | 7,000,000 |" in text
    assert "| `secrets` | 7 | 5 |" in text
    assert "| `bad_json` | 3 |" in text
    assert "3 words, at least 40 wanted" in text


def test_every_picture_of_the_page_is_there(tmp_path: Path) -> None:
    pictures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", page(tmp_path, []))
    assert sorted(pictures) == sorted(path.name for path in tmp_path.glob("*.png"))
    assert len(pictures) == 3


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    for folder in (tmp_path / "one", tmp_path / "two"):
        page(folder, [sample(HOSTILE)])
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_a_sample_cannot_leave_its_fence(tmp_path: Path) -> None:
    text = page(tmp_path, [sample(HOSTILE, detail="a `tick` and\n# a line | a bar")])
    opening = re.search(r"^(`{5,})text$", text, re.MULTILINE)
    assert opening is not None
    inside, after = text[opening.end() :].split(f"\n{opening[1]}\n", 1)
    assert "# injected" in inside and "<script>" in inside
    assert after.strip() == ""
    assert "\u202e" not in text and "\x1b" not in text
    assert "\n# a line" not in text
    assert len(inside) < 400


def test_secrets_are_taken_out_before_a_text_is_cut(tmp_path: Path) -> None:
    secret = "hunter2" * 4
    text = "x" * 290 + secret
    shown = page(tmp_path, [sample(text, detail=secret)], lambda one: one.replace(secret, "<SECRET>"))
    assert "hunter" not in shown
    assert shown.count("<SECRET>") == 2


def test_an_empty_corpus_still_has_a_page(tmp_path: Path) -> None:
    nothing = Lengths(length_histogram(np.zeros(0)), length_histogram(np.zeros(0)))
    write_report(Counts().as_metrics(), nothing, [], tmp_path, lambda text: text)
    assert "0 documents read" in (tmp_path / "report.md").read_text()


def test_histograms_of_parts_add_up_and_lose_nothing() -> None:
    words = np.array([0, 1, 9, 10, 10**7, 10**9])
    whole = length_histogram(words)
    assert whole.sum() == 6 and len(whole) == len(LENGTH_EDGES) - 1
    assert np.array_equal(whole, length_histogram(words[:2]) + length_histogram(words[2:]))


@pytest.mark.parametrize("sources", [1, 40])
def test_any_number_of_sources_can_be_drawn(tmp_path: Path, sources: int) -> None:
    counts = Counts()
    for number in range(sources):
        source = counts.of(f"distributions:a_rather_long_$name$_of_a_package_{number}==1.0")
        source.read = source.kept = source.characters = number + 1
        source.dropped["too_few_words"] = number
    text = page(tmp_path, [], found=counts.as_metrics())
    assert ("And 10 smaller sources" in text) == (sources == 40)

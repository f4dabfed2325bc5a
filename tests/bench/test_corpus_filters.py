"""The benchmark of the document rules, tiny, and what it makes of its runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.corpus_filters import KEPT, our_filters, read_documents, summarise

ROOT = Path(__file__).parents[2]


def test_a_tiny_run_compares_both_over_the_same_documents(tmp_path: Path) -> None:
    pytest.importorskip("datatrove", reason="the benchmark compares with datatrove: pip install datatrove")
    texts = tmp_path / "texts.jsonl"
    texts.write_text("".join(json.dumps({"text": text}) + "\n" for text in ("too short", "buy now " * 300)))
    command = [sys.executable, "-m", "bench.corpus_filters", str(texts), "--tokenizer=spaces", "--repeats=1"]
    done = subprocess.run(
        [*command, f"--out={tmp_path}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "corpus_filters.json").read_text())
    assert result["kept"] == {"ours": 0, "datatrove": 0}
    assert result["differ"] == 0
    assert result["ratio"]["seconds"] > 0 and result["ratio"]["peak_mb"] > 0
    assert "| ours over datatrove |" in (tmp_path / "corpus_filters.md").read_text()


def test_an_unknown_tokenizer_is_named() -> None:
    command = [sys.executable, "-m", "bench.corpus_filters", "--tokenizer=bpe"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "error: --tokenizer: 'bpe' is none of spacy, spaces." in done.stderr


def test_only_the_rules_that_datatrove_has_are_on() -> None:
    filters = our_filters()
    assert len(filters.rules) == 16
    assert [cleaner.name for cleaner in filters.cleaners] == ["boilerplate_lines"]
    assert filters.redactors == ()


def test_without_a_file_the_standard_library_is_read() -> None:
    documents = read_documents(None)
    assert "argparse.py" in {document.id for document in documents}
    assert {document.kind for document in documents} == {"text"}


def test_the_summary_counts_where_verdicts_differ() -> None:
    rows = [
        {"impl": "ours", "seconds": 1.0, "peak_mb": 10.0, "verdicts": [KEPT, "a", KEPT]},
        {"impl": "datatrove", "seconds": 4.0, "peak_mb": 20.0, "verdicts": [KEPT, "b", "c"]},
    ]
    summary = summarise(rows, {})
    assert summary["ratio"] == {"seconds": 0.25, "peak_mb": 0.5}
    assert summary["kept"] == {"ours": 2, "datatrove": 1}
    assert summary["differ_by_reason"] == {"kept | c": 1}

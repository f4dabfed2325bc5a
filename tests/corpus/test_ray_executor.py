"""The same rules on Ray Data, with two real local workers."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from corpora import corpus_of, prose

from revela.corpus import blocks
from revela.corpus.pipeline import filter_corpus
from revela.corpus.ray_executor import run_ray
from revela.errors import RevelaError
from revela.files import sha256_tree
from revela.settings import FilterSettings


def test_two_ray_workers_give_the_same_bytes_as_local_processes(
    notes: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray.data", reason="Ray is not installed: pip install -e '.[ray]'")
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 500)
    texts = {f"{number}.txt": prose(50, 20 * number) for number in range(40)}
    settings = corpus_of(
        notes({**texts, "bad.txt": b"\xff", "few.txt": "few"}),
        FilterSettings(), max_malformed_share=0.5, workers=2,
    )  # fmt: skip
    digests = set()
    for executor in ("local", "ray"):
        documents, report = tmp_path / f"{executor}_documents", tmp_path / f"{executor}_report"
        metrics = filter_corpus(settings.model_copy(update={"executor": executor}), [], documents, report)
        digests.add((sha256_tree(documents), sha256_tree(report)))
    assert len(digests) == 1
    assert metrics["records"] == 42


def test_without_ray_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(RevelaError, match=r"pip install -e '\.\[ray\]'"):
        list(run_ray(str, [1], 1, "corpus.workers"))

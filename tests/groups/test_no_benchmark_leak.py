"""From raw text with benchmark documents in it to groups: no run of 13 words of a benchmark is trained on."""

from __future__ import annotations

import re
import shutil
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from revela.corpus.pipeline import filter_corpus
from revela.evaluation.benchmarks import protected_texts
from revela.groups.pipeline import build_batches
from revela.groups.reading import Groups
from revela.settings import BatchesSettings, CorpusSettings, EvaluateSettings

RUN = 13
SPLITTINGS: dict[str, Callable[[str], list[str]]] = {
    "words": lambda text: re.findall(r"\w+", text.lower()),
    "letters and digits": lambda text: re.findall(r"[^\W_]+", text.lower()),
    "white space": lambda text: text.lower().split(),
}


def runs(text: str, split: Callable[[str], list[str]]) -> set[tuple[str, ...]]:
    """All runs of 13 words with a letter or digit in them; layout alone (``- - -``) is no text."""
    words = split(text)
    found = {tuple(words[start : start + RUN]) for start in range(len(words) - RUN + 1)}
    return {run for run in found if re.search(r"[^\W_]", "".join(run))}


@pytest.fixture(scope="module")
def benchmark() -> list[str]:
    """Queries and judged documents of the built-in benchmark: functions of the standard library."""
    return protected_texts(EvaluateSettings(benchmarks=[{"kind": "docstrings"}]))


@pytest.fixture(scope="module")
def groups(tmp_path_factory: pytest.TempPathFactory, tokenizer_dir: Path, benchmark: list[str]) -> Groups:
    """Groups from a folder in which files of the benchmark lie beside others."""
    root = tmp_path_factory.mktemp("leak")
    (root / "raw").mkdir()
    library = Path(sysconfig.get_path("stdlib"))
    for name in ("argparse", "inspect", "heapq", "textwrap"):
        shutil.copy(library / f"{name}.py", root / "raw" / f"{name}.py")
    corpus = CorpusSettings(
        sources=[
            {"kind": "folder", "path": root / "raw"},
            {"kind": "distributions", "names": ["click", "Jinja2"]},
        ]
    )
    metrics = filter_corpus(corpus, benchmark, root / "documents", root / "report")
    assert metrics["dropped_by_reason"]["benchmark_overlap"] >= 3
    batches = BatchesSettings(group_size=4, chunk_tokens=256, titles=True, workers=1)
    build_batches(batches, 0, root / "documents", tokenizer_dir, root / "groups", root / "batches")
    return Groups(root / "groups")


@pytest.mark.parametrize("splitting", SPLITTINGS)
def test_no_run_of_13_words_of_a_benchmark_is_in_a_training_chunk(
    groups: Groups, benchmark: list[str], splitting: str
) -> None:
    split = SPLITTINGS[splitting]
    protected = set().union(*(runs(text, split) for text in benchmark))
    trained = set().union(*(runs(chunk.passage, split) for group in groups for chunk in group))
    assert len(protected) > 10_000
    assert len(trained) > 10_000
    assert not protected & trained

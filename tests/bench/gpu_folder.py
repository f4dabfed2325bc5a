"""A folder as `python -m bench.gpu prepare` leaves it, with tiny models and few texts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

GOLDEN = Path(__file__).parents[1] / "data" / "golden"


def make_gpu_folder(folder: Path, backbone: Path, groups: Path) -> Path:
    """Models with two layers, groups of four chunks, two benchmarks of eight queries."""
    for name, source in (("lm", "lm"), ("retriever", "retriever"), ("minilm", "retriever")):
        shutil.copytree(backbone / source, folder / "models" / name)
    for name in ("python", "wiki_en"):
        shutil.copytree(groups, folder / "groups" / name)
    shutil.copytree(GOLDEN, folder / "golden")
    for name in ("docstrings", "scifact"):
        _benchmark(folder / "benchmarks" / name)
    return folder


def _benchmark(folder: Path) -> None:
    (folder / "qrels").mkdir(parents=True)
    topics = ["parser", "socket", "thread", "window", "bridge", "river", "engine", "garden"]
    documents = [
        {"_id": f"d{number}", "title": "", "text": f"def {topic}(): how a {topic} is opened and closed"}
        for number, topic in enumerate(topics)
    ]
    queries = [{"_id": f"q{number}", "text": f"open a {topic}"} for number, topic in enumerate(topics)]
    for name, rows in (("corpus", documents), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    lines = [f"q{number}\td{number}\t1" for number in range(len(topics))]
    (folder / "qrels" / "test.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *lines]) + "\n")

"""The stage as a whole, from documents on disk to groups read back."""

from __future__ import annotations

import argparse
import email.message
import json
import os
import statistics
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from revela.batches import pipeline
from revela.batches.groups import Groups
from revela.batches.pipeline import build_batches
from revela.batches.schema import GROUP_SCHEMA, Chunk
from revela.corpus import shards
from revela.corpus.pipeline import filter_corpus, read_documents
from revela.errors import RevelaError
from revela.files import sha256_tree
from revela.settings import BatchesSettings, CorpusSettings

SETTINGS = BatchesSettings(group_size=4, chunk_tokens=96, min_chunk_tokens=16)


@pytest.fixture
def run(tmp_path: Path, tokenizer_dir: Path) -> Callable[..., dict]:
    """A corpus of three real modules, and the stage on it."""
    folder = tmp_path / "modules"
    folder.mkdir()
    for module in (argparse, email.message, statistics):
        (folder / f"{module.__name__}.py").write_bytes(Path(module.__file__).read_bytes())
    corpus = CorpusSettings(sources=[{"kind": "folder", "path": folder}])
    filter_corpus(corpus, [], tmp_path / "documents", tmp_path / "report" / "corpus")

    def run(settings: BatchesSettings = SETTINGS, seed: int = 0) -> dict:
        return build_batches(
            settings, seed, tmp_path / "documents", tokenizer_dir, tmp_path / "groups", tmp_path / "report"
        )

    return run


def test_groups_are_read_back_as_chunks_of_the_documents(run: Callable[..., dict], tmp_path: Path) -> None:
    metrics = run()
    texts = {document.id: document.text for document in read_documents(tmp_path / "documents")}
    groups = Groups(tmp_path / "groups")
    assert len(groups) == metrics["groups"] > 10
    assert groups.group_size == 4
    for group in groups:
        assert len(group) == 4
        for chunk in group:
            assert isinstance(chunk, Chunk)
            assert chunk.text == texts[chunk.document_id][chunk.start : chunk.end]
    assert groups[-1] == groups[len(groups) - 1]
    with pytest.raises(IndexError):
        groups[len(groups)]


def test_the_report_adds_up(run: Callable[..., dict], tmp_path: Path) -> None:
    metrics = run(SETTINGS.model_copy(update={"max_groups": 20, "max_groups_per_document": 15}))
    assert json.loads((tmp_path / "report" / "metrics.json").read_text()) == metrics
    chunks = [chunk for group in Groups(tmp_path / "groups") for chunk in group]
    assert metrics["documents"] == metrics["documents_used"] == 3
    assert metrics["groups"] == 20 == sum(metrics["groups_by_kind"].values())
    assert metrics["chunks_used"] == 80 == len({chunk.text for chunk in chunks})
    dropped = metrics["chunks_dropped_by_reason"]
    grouping = sum(count for reason, count in dropped.items() if reason != "short_chunk")
    assert metrics["chunks"] == metrics["chunks_used"] + grouping
    assert metrics["tokens"] == sum(chunk.tokens for chunk in chunks)
    assert metrics["mean_tokens"] == pytest.approx(metrics["tokens"] / 80, abs=0.01)
    assert sum(metrics["tokens_histogram"].values()) == 80
    assert list(metrics["tokens_histogram"])[-1] == "85-96"
    assert metrics["chunks_by_source"] == {"folder:modules": 80}


def test_the_file_has_its_schema_and_counts_groups_and_positions(
    run: Callable[..., dict], tmp_path: Path
) -> None:
    metrics = run()
    table = pq.read_table(tmp_path / "groups" / "groups-00000.parquet")
    assert table.schema.equals(GROUP_SCHEMA)
    assert all(b"description" in table.schema.field(name).metadata for name in table.schema.names)
    places = list(zip(table["group"].to_pylist(), table["position"].to_pylist(), strict=True))
    assert places == [(group, position) for group in range(metrics["groups"]) for position in range(4)]


def test_the_same_input_and_seed_give_the_same_bytes(run: Callable[..., dict], tmp_path: Path) -> None:
    def digests(seed: int) -> tuple[str, str]:
        run(seed=seed)
        return sha256_tree(tmp_path / "groups"), sha256_tree(tmp_path / "report")

    first = digests(0)
    assert digests(0) == first
    assert digests(1)[0] != first[0]


def test_groups_stay_whole_over_row_groups_and_shards(
    run: Callable[..., dict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    whole = list(Groups(tmp_path / "groups"))
    monkeypatch.setattr(shards, "ROW_GROUP_CHARACTERS", 1000)
    monkeypatch.setattr(shards, "SHARD_CHARACTERS", 5000)
    run()
    files = sorted((tmp_path / "groups").iterdir())
    assert len(files) > 3
    for file in files:
        metadata = pq.ParquetFile(file).metadata
        assert all(metadata.row_group(index).num_rows % 4 == 0 for index in range(metadata.num_row_groups))
    assert list(Groups(tmp_path / "groups")) == whole


def test_sample_groups_are_shown_with_their_query_marked(run: Callable[..., dict], tmp_path: Path) -> None:
    metrics = run()
    report = (tmp_path / "report" / "sample_groups.md").read_text()
    assert report.startswith(f"# The first 3 of {metrics['groups']} groups")
    chunks = [chunk for group in list(Groups(tmp_path / "groups"))[:3] for chunk in group]
    assert all(f"`{chunk.chunk_id}`, {chunk.tokens} tokens" in report for chunk in chunks)
    assert report.count("‖") == 1 + len(chunks)


def test_too_little_text_names_the_longest_document_and_the_knobs(run: Callable[..., dict]) -> None:
    with pytest.raises(
        RevelaError,
        match=r"the longest document, modules/argparse\.py, has \d+\)\. Lower batches\.group_size",
    ):
        run(SETTINGS.model_copy(update={"group_size": 5000}))


def test_a_failing_run_leaves_the_last_good_groups(
    run: Callable[..., dict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    before = sha256_tree(tmp_path / "groups"), sha256_tree(tmp_path / "report")

    def fail(*_: object) -> None:
        raise RevelaError("in the middle")

    monkeypatch.setattr(pipeline.ShardWriter, "write_all", fail)
    with pytest.raises(RevelaError, match="in the middle"):
        run(seed=1)
    assert (sha256_tree(tmp_path / "groups"), sha256_tree(tmp_path / "report")) == before
    assert sorted(os.listdir(tmp_path)) == ["documents", "groups", "modules", "report"]


def test_groups_without_a_folder_say_which_stage_to_run(tmp_path: Path) -> None:
    with pytest.raises(RevelaError, match="Run the stage build_batches first"):
        Groups(tmp_path)


def test_importing_this_side_of_the_house_brings_no_torch() -> None:
    import subprocess
    import sys

    program = (
        "import sys, revela.corpus.pipeline, revela.batches.pipeline, revela.batches.groups;"
        "print(sorted({'torch', 'transformers', 'mlflow', 'prefect'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"

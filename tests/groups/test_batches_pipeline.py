"""The stage as a whole, from documents on disk to groups read back."""

from __future__ import annotations

import argparse
import email.message
import json
import os
import re
import statistics
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from revela.chunks.chunk import Chunk
from revela.corpus import shards
from revela.corpus.pipeline import read_documents
from revela.corpus.schema import DOCUMENT_SCHEMA, Document
from revela.errors import RevelaError
from revela.files import sha256_tree
from revela.groups import pipeline
from revela.groups.pipeline import build_batches
from revela.groups.reading import Groups
from revela.groups.schema import GROUP_SCHEMA
from revela.groups.statistics import STATISTICS_SCHEMA
from revela.settings import BatchesSettings

SETTINGS = BatchesSettings(group_size=4, chunk_tokens=96, min_chunk_tokens=16, workers=1)
CUTTING_REASONS = {"short_chunk", "no_query_split", "no_safe_cut"}
MIXTURE = [
    {"strategy": "topic", "weight": 2},
    {"strategy": "document", "weight": 1, "sources": ["folder:t*"]},
    {"strategy": "random", "weight": 1},
]
STRATEGIES = [
    SETTINGS,
    *(SETTINGS.model_copy(update={"strategy": name}) for name in ("topic", "random")),
    BatchesSettings(
        strategy="mixture", mixture=MIXTURE, group_size=4, chunk_tokens=96, min_chunk_tokens=16, workers=1
    ),
]


@pytest.fixture
def run(tmp_path: Path, tokenizer_dir: Path) -> Callable[..., dict]:
    """A corpus of three real modules in two sources, and the stage on it."""
    folder = tmp_path / "documents"
    folder.mkdir()
    with shards.ShardWriter(folder, "documents", DOCUMENT_SCHEMA) as writer:
        for module, source in ((argparse, "one"), (email.message, "two"), (statistics, "two")):
            name, text = f"modules/{module.__name__}.py", Path(module.__file__).read_text()
            writer.write(asdict(Document(name, name, text, f"folder:{source}", "python")), len(text))

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


@pytest.mark.parametrize("settings", STRATEGIES, ids=lambda settings: settings.strategy)
def test_every_chunk_is_used_once_or_counted_as_dropped(
    run: Callable[..., dict], tmp_path: Path, settings: BatchesSettings
) -> None:
    metrics = run(settings)
    used = [chunk.chunk_id for group in Groups(tmp_path / "groups") for chunk in group]
    assert len(used) == len(set(used)) == metrics["chunks_used"] >= 40
    dropped = metrics["chunks_dropped_by_reason"]
    grouping = sum(count for reason, count in dropped.items() if reason not in CUTTING_REASONS)
    assert metrics["chunks"] == metrics["chunks_used"] + grouping
    related = metrics["relatedness"]
    assert (related["groups"]["mean"] > 1.2 * related["random_groups"]["mean"]) == (
        settings.strategy != "random"
    )


def test_a_mixture_has_its_shares_and_sources(run: Callable[..., dict]) -> None:
    metrics = run(STRATEGIES[-1])
    kinds = metrics["groups_by_kind"]
    document = kinds["whole_document"] + kinds["joined"]
    assert abs(kinds["topic"] - 2 * document) <= 2 and abs(kinds["random"] - document) <= 1


def test_a_whole_document_group_is_the_same_whatever_the_remainders_do(
    run: Callable[..., dict], tmp_path: Path
) -> None:
    metrics = run(SETTINGS.model_copy(update={"max_groups_per_document": None}))
    assert metrics["groups_by_kind"]["whole_document"] > 20
    statistics = pq.read_table(tmp_path / "groups" / "statistics.parquet").to_pylist()
    for row, group in zip(statistics, Groups(tmp_path / "groups"), strict=True):
        if row["kind"] == "whole_document":
            starts = [chunk.start for chunk in group]
            assert starts == sorted(starts) and len({chunk.document_id for chunk in group}) == 1


def test_the_report_adds_up(run: Callable[..., dict], tmp_path: Path) -> None:
    metrics = run(SETTINGS.model_copy(update={"max_groups": 20, "max_groups_per_document": 15}))
    assert json.loads((tmp_path / "report" / "metrics.json").read_text()) == metrics
    chunks = [chunk for group in Groups(tmp_path / "groups") for chunk in group]
    assert metrics["documents"] == metrics["documents_used"] == 3
    assert metrics["groups"] == 20 == sum(metrics["groups_by_kind"].values())
    assert metrics["chunks_used"] == 80 == len({chunk.text for chunk in chunks})
    dropped = metrics["chunks_dropped_by_reason"]
    assert dropped["group_limit"] > 0 and metrics["documents_without_chunks"] == 0
    assert metrics["tokens"] == sum(chunk.tokens for chunk in chunks)
    assert metrics["mean_tokens"] == pytest.approx(metrics["tokens"] / 80, abs=0.01)
    assert sum(metrics["tokens_histogram"].values()) == 80
    assert list(metrics["tokens_histogram"])[-1] == "85-96"
    sources = metrics["chunks_by_source"]
    assert list(sources) == ["folder:one", "folder:two"] and sum(sources.values()) == 80


def test_statistics_have_a_row_a_group(run: Callable[..., dict], tmp_path: Path) -> None:
    metrics = run()
    table = pq.read_table(tmp_path / "groups" / "statistics.parquet")
    assert table.schema.equals(STATISTICS_SCHEMA)
    rows = table.to_pylist()
    for number, (row, group) in enumerate(zip(rows, Groups(tmp_path / "groups"), strict=True)):
        assert row["group"] == number
        assert row["documents"] == len({chunk.document_id for chunk in group})
        assert row["sources"] == len({chunk.source for chunk in group})
        assert row["tokens"] == sum(chunk.tokens for chunk in group)
    mean = sum(row["relatedness"] for row in rows) / len(rows)
    assert metrics["relatedness"]["groups"]["mean"] == pytest.approx(mean, abs=1e-4)


def test_the_file_has_its_schema_and_counts_groups_and_positions(
    run: Callable[..., dict], tmp_path: Path
) -> None:
    metrics = run()
    table = pq.read_table(tmp_path / "groups" / "groups-00000.parquet")
    assert table.schema.equals(GROUP_SCHEMA)
    assert all(b"description" in table.schema.field(name).metadata for name in table.schema.names)
    places = list(zip(table["group"].to_pylist(), table["position"].to_pylist(), strict=True))
    assert places == [(group, position) for group in range(metrics["groups"]) for position in range(4)]


@pytest.mark.parametrize("settings", STRATEGIES, ids=lambda settings: settings.strategy)
def test_the_same_input_and_seed_give_the_same_bytes(
    run: Callable[..., dict], tmp_path: Path, settings: BatchesSettings
) -> None:
    def digests(seed: int, workers: int = 1) -> tuple[str, str]:
        run(settings.model_copy(update={"workers": workers}), seed)
        return sha256_tree(tmp_path / "groups"), sha256_tree(tmp_path / "report")

    first = digests(0)
    assert digests(0, workers=2 if settings is SETTINGS else 1) == first
    assert digests(1)[0] != first[0]


def test_groups_stay_whole_over_row_groups_and_shards(
    run: Callable[..., dict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    whole = list(Groups(tmp_path / "groups"))
    monkeypatch.setattr(shards, "ROW_GROUP_CHARACTERS", 1000)
    monkeypatch.setattr(shards, "SHARD_CHARACTERS", 5000)
    run()
    files = sorted((tmp_path / "groups").glob("groups-*"))
    assert len(files) == 3
    for file in files:
        metadata = pq.ParquetFile(file).metadata
        assert all(metadata.row_group(index).num_rows % 4 == 0 for index in range(metadata.num_row_groups))
    assert list(Groups(tmp_path / "groups")) == whole


def test_the_report_shows_counts_a_picture_and_ten_groups_in_text(
    run: Callable[..., dict], tmp_path: Path
) -> None:
    metrics = run()
    report = (tmp_path / "report" / "report.md").read_text()
    assert f"{metrics['groups']} groups of 4 chunks" in report
    assert "(groups.png)" in report
    assert (tmp_path / "report" / "groups.png").read_bytes().startswith(b"\x89PNG")
    shown = [int(number) for number in re.findall(r"^### Group (\d+):", report, re.MULTILINE)]
    assert len(shown) == 10
    groups = Groups(tmp_path / "groups")
    chunks = [chunk for number in shown for chunk in groups[number]]
    assert all(f"`{chunk.chunk_id}`, {chunk.tokens} tokens" in report for chunk in chunks)
    assert report.count("‖") == 1 + len(chunks)
    for reason, count in metrics["chunks_dropped_by_reason"].items():
        assert f"| `{reason}` | {count} |" in report


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
    # The chunks stay for the next run, which goes on with them.
    assert sorted(os.listdir(tmp_path)) == [".groups.chunks", "documents", "groups", "report"]
    monkeypatch.undo()
    run()
    assert (sha256_tree(tmp_path / "groups"), sha256_tree(tmp_path / "report")) == before
    assert sorted(os.listdir(tmp_path)) == ["documents", "groups", "report"]


def test_groups_without_a_folder_say_which_stage_to_run(tmp_path: Path) -> None:
    with pytest.raises(RevelaError, match="Run the stage build_batches first"):
        Groups(tmp_path)


def test_importing_this_side_of_the_house_brings_no_torch() -> None:
    import subprocess
    import sys

    program = (
        "import sys, revela.corpus.pipeline, revela.groups.pipeline, revela.groups.reading;"
        "print(sorted({'torch', 'transformers', 'mlflow', 'prefect'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"

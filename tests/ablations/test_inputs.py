"""Overrides get inputs of their own, made anew only where what decides them has changed."""

from __future__ import annotations

import argparse
import inspect
import json
import shutil
from pathlib import Path

import pytest

from revela.ablations.inputs import InputMaker, Inputs
from revela.corpus.pipeline import filter_corpus
from revela.evaluation.benchmarks import protected_texts
from revela.files import sha256_tree
from revela.settings import Settings

BATCHES = {"group_size": 4, "chunk_tokens": 40, "min_chunk_tokens": 16, "max_groups": 20}


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """A source that can grow."""
    folder = tmp_path / "text"
    folder.mkdir()
    shutil.copy(inspect.getsourcefile(json), folder / "one.py")
    return folder


@pytest.fixture
def benchmark(tmp_path: Path) -> Path:
    """One whose only document is in the standard library's `argparse`."""
    folder = tmp_path / "benchmark"
    (folder / "qrels").mkdir(parents=True)
    document = {"_id": "d", "title": "", "text": inspect.getsource(argparse.ArgumentParser.parse_args)}
    (folder / "corpus.jsonl").write_text(json.dumps(document) + "\n")
    (folder / "queries.jsonl").write_text(json.dumps({"_id": "q", "text": "parse the arguments"}) + "\n")
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\td\t1\n")
    return folder


@pytest.fixture
def settings(causal_lm_folder: Path, benchmark: Path) -> Settings:
    model = {"kind": "folder", "name": str(causal_lm_folder)}
    phase = {
        "name": "contrastive", "train": ["retriever"], "terms": {"contrastive": 1.0}, "steps": 1,
        "learning_rate": {"retriever": 1e-3},
    }  # fmt: skip
    return Settings.model_validate(
        {
            "backbone": {"retriever": model, "lm": model},
            "corpus": {"sources": [{"kind": "distributions", "names": ["packaging"]}]},
            "batches": BATCHES,
            "objective": {},
            "training": {"phases": [phase]},
            "evaluate": {"benchmarks": [{"kind": "beir", "name": "one", "path": str(benchmark)}]},
            "registry": {"primary_benchmark": "one"},
        }
    )


@pytest.fixture
def made(settings: Settings, tmp_path: Path, backbone_folder: Path, groups_folder: Path) -> Inputs:
    documents = tmp_path / "documents"
    filter_corpus(settings.corpus, protected_texts(settings.evaluate), documents, tmp_path / "report")
    return Inputs(backbone_folder, documents, groups_folder)


def from_folder(settings: Settings, folder: Path) -> Settings:
    raw = settings.model_dump(mode="json")
    raw["corpus"]["sources"] = [{"kind": "folder", "path": str(folder)}]
    return Settings.model_validate(raw)


def test_what_no_override_concerns_is_what_the_stages_made(settings, made, tmp_path):
    colder = settings.model_copy(
        update={"objective": settings.objective.model_copy(update={"temperature": 0.001})}
    )
    assert InputMaker(settings, made, tmp_path / "cache").of(colder) == made
    assert made.tags(made) == {}


def test_another_corpus_is_filtered_for_the_benchmarks_like_the_first(settings, made, text, tmp_path):
    shutil.copy(inspect.getsourcefile(argparse), text / "has_the_answer.py")
    inputs = InputMaker(settings, made, tmp_path / "cache").of(from_folder(settings, text))
    assert inputs.backbone == made.backbone
    assert {inputs.documents, inputs.groups} & {made.documents, made.groups} == set()
    texts = list(inputs.training_texts())
    assert any("JSONEncoder" in one for one in texts)
    assert not any("def parse_args(self, args=None" in one for one in texts)


def test_a_source_that_grew_is_seen_by_the_next_call_and_groups_follow(settings, made, text, tmp_path):
    wanted, cache = from_folder(settings, text), tmp_path / "cache"
    maker = InputMaker(settings, made, cache)
    first = maker.of(wanted)
    before, when = sha256_tree(first.groups), first.documents.stat().st_mtime_ns
    assert maker.of(wanted) == first
    assert first.documents.stat().st_mtime_ns == when, "once a call"
    assert InputMaker(settings, made, cache).of(wanted) == first, "the same text gives the same groups"
    shutil.copy(inspect.getsourcefile(inspect), text / "two.py")
    second = InputMaker(settings, made, cache).of(wanted)
    assert second.groups != first.groups
    assert sha256_tree(second.groups) != before


def test_own_groups_follow_the_documents_of_the_stages(settings, made, text, tmp_path):
    """`batches.strategy` changed and then the corpus: the groups of the old text would still be there."""
    wanted = settings.model_copy(
        update={"batches": settings.batches.model_copy(update={"strategy": "random"})}
    )
    cache = tmp_path / "cache"
    first = InputMaker(settings, made, cache).of(wanted)
    assert first.documents == made.documents and first.groups != made.groups
    filter_corpus(from_folder(settings, text).corpus, [], made.documents, tmp_path / "report")
    second = InputMaker(settings, made, cache).of(wanted)
    assert second.groups != first.groups

"""Back from a registered version to its commit, data and scores, in a project that has moved on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml
from mlflow import MlflowClient

from revela import tracking
from revela.errors import RevelaError
from revela.files import sha256_file
from revela.registry.lineage import lineage
from revela.registry.reproduction.checkout import Wanted, clone, get_data, verify
from revela.registry.reproduction.reproduce import reproduce
from revela.settings import RegistrySettings

SETTINGS = RegistrySettings()
NAME = SETTINGS.model_name


@pytest.fixture(scope="module")
def moved(project):
    """Registered, its results committed; then other settings, no evaluation code, a file not committed."""
    project.run("revela", "register")
    commit = ("git", "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qm")
    project.run("git", "add", "-A")
    project.run(*commit, "results")
    project.run("git", "rm", "-rq", "src/revela/evaluation")
    params = yaml.safe_load((project.folder / "params.yaml").read_text())
    params["evaluate"]["benchmarks"] = [{"kind": "docstrings", "limit": 10}]
    (project.folder / "params.yaml").write_text(yaml.safe_dump(params))
    project.run("git", "add", "-A")
    project.run(*commit, "moved on")
    (project.folder / "notes.txt").write_text("not committed")
    return project


@pytest.fixture
def client(moved, monkeypatch) -> MlflowClient:
    uri = f"sqlite:///{moved.folder}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.chdir(moved.folder)
    return tracking.connect(uri)


@pytest.fixture
def wanted(moved, client) -> Wanted:
    version = client.get_model_version(NAME, "1")
    kept = {}
    for name in ("params.yaml", "dvc.lock"):
        kept[name] = Path(client.download_artifacts(version.run_id, f"origin/{name}"))
    return Wanted("version 1", version.tags["git.commit"], kept, version.tags["model.sha256"])


def tagged(client: MlflowClient, key: str, value: str):
    """Set a tag of version 1 for the length of a block."""
    before = client.get_model_version(NAME, "1").tags[key]
    client.set_model_version_tag(NAME, "1", key, value)
    return lambda: client.set_model_version_tag(NAME, "1", key, before)


def test_the_old_version_gives_its_scores_again_and_the_working_tree_stays_as_it_is(moved):
    head, status = moved.run("git", "rev-parse", "HEAD"), moved.run("git", "status", "--porcelain")
    output = moved.run("revela", "reproduce", "1")
    assert "data       as in dvc.lock, every file hashed again" in output
    assert "reproduced: 24 metrics of bm25, bm25_identifiers, untrained" in output
    assert moved.run("git", "rev-parse", "HEAD") == head
    assert moved.run("git", "status", "--porcelain") == status
    assert (moved.folder / "cache/reproduce/1/src/revela/evaluation").is_dir(), "the code of then"


def test_other_scores_are_shown_and_end_with_code_1(moved, client, tmp_path):
    version = client.get_model_version(NAME, "1")
    (kept,) = moved.folder.glob(f"mlartifacts/**/{version.run_id}/**/per_query.parquet")
    shutil.copy(kept, tmp_path / "kept")
    table = pd.read_parquet(kept)
    table.loc[table["model"] == "retriever", "ndcg_at_10"] += 0.01
    table.to_parquet(kept, index=False)
    put_back = tagged(client, "sha256.per_query.parquet", sha256_file(kept))
    try:
        with pytest.raises(AssertionError) as refused:
            moved.run("revela", "reproduce", "@champion")
    finally:
        put_back()
        shutil.copy(tmp_path / "kept", kept)
    assert "30 of 30 queries, by 0.01 at most" in str(refused.value)
    assert "NOT reproduced: 1 of 24 metrics" in str(refused.value)


def test_what_was_kept_with_the_version_cannot_be_changed_unseen(moved, client, tmp_path):
    version = client.get_model_version(NAME, "1")
    (kept,) = moved.folder.glob(f"mlartifacts/**/{version.run_id}/**/origin/dvc.lock")
    before = kept.read_bytes()
    kept.write_bytes(before + b"# a line more\n")
    try:
        with pytest.raises(RevelaError, match=r"origin/dvc\.lock of .* is not what was registered"):
            reproduce(SETTINGS, "1", print)
    finally:
        kept.write_bytes(before)


def test_a_version_of_uncommitted_code_is_refused(client):
    put_back = tagged(client, "git.dirty", "true")
    try:
        with pytest.raises(RevelaError, match=r"changes that were not committed(.|\n)*--allow-dirty"):
            reproduce(SETTINGS, "1", print)
    finally:
        put_back()


def test_no_such_version_and_no_such_commit_are_named(client):
    with pytest.raises(RevelaError, match=r"has no version 7 in .*; it has 1"):
        reproduce(SETTINGS, "7", print)
    put_back = tagged(client, "git.commit", "0" * 40)
    try:
        with pytest.raises(RevelaError, match=r"commit 0000000.* is not in the repository"):
            reproduce(SETTINGS, "1", print)
    finally:
        put_back()


def test_damaged_data_and_other_code_are_found_and_missing_data_comes_from_the_remote(
    moved, wanted, tmp_path
):
    sites = [tmp_path / f"site{number}" for number in range(3)]
    for site in sites:
        site.mkdir()
    root = clone(moved.folder, wanted, tmp_path / "checkout")
    get_data(root, wanted)
    assert verify(root, wanted, sites[0]) == []

    # As a damaged cache would leave it: DVC itself believes what it has in the cache.
    weights = root / "models/retriever/model.safetensors"
    (cached,) = [
        path
        for path in (moved.folder / ".dvc/cache").rglob("*")
        if path.is_file() and path.stat().st_size == weights.stat().st_size
        and path.read_bytes() == weights.read_bytes()
    ]  # fmt: skip
    with (root / "src/revela/cli/app.py").open("a") as file, (root / "src/revela/files.py").open("a") as dep:
        file.write("# no stage depends on this file\n")
        dep.write("# all of them depend on this one\n")
    assert verify(root, wanted, sites[1]) == ["src/revela/files.py (modified)"]
    with weights.open("ab") as file:
        file.write(b"x")
    with pytest.raises(RevelaError, match=r"not as its dvc\.lock says: models \(modified\)"):
        verify(root, wanted, sites[2])

    moved.run("dvc", "remote", "add", "--local", "-d", "store", str(tmp_path / "store"))
    moved.run("dvc", "push", "models")
    shutil.move(cached, tmp_path / "lost")
    again = clone(moved.folder, wanted, tmp_path / "again")
    get_data(again, wanted)
    assert (again / "models/retriever/model.safetensors").is_file()

    cached.unlink()
    moved.run("dvc", "remote", "remove", "--local", "store")
    bare = clone(moved.folder, wanted, tmp_path / "bare")
    try:
        with pytest.raises(RevelaError, match=r"not in DVC's cache .* and there is no remote"):
            get_data(bare, wanted)
    finally:
        shutil.move(tmp_path / "lost", cached)


def test_lineage_leads_to_the_version_and_from_its_files_back_to_it(moved, client):
    lines = lineage(SETTINGS, "@champion").splitlines()
    assert lines[0].startswith(f"{NAME} version 1")
    tags = client.get_model_version(NAME, "1").tags
    for line in (
        f"  commit    {tags['git.commit']}",
        f"  model     sha256 {tags['model.sha256']}",
        f"  corpus    md5 {tags['corpus.md5']}",
        "  revela reproduce 1",
    ):
        assert line in lines
    lock = yaml.safe_load((moved.folder / "cache/reproduce/1/dvc.lock").read_text())
    (documents,) = lock["stages"]["filter_corpus"]["outs"][:1]
    assert tags["corpus.md5"] == documents["md5"]
    assert lineage(SETTINGS, "models/retriever").splitlines() == lines
    for key in ("model.sha256", "corpus.md5", "git.commit", "sha256.dvc.lock"):
        assert lineage(SETTINGS, tags[key][:10]).splitlines() == lines
    with pytest.raises(RevelaError, match="has no version with the model in src"):
        lineage(SETTINGS, "src")

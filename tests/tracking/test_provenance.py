"""Where a model comes from, in a form that MLflow takes."""

import subprocess
from pathlib import Path

import pytest

from revela.errors import RevelaError
from revela.tracking import provenance


def test_flatten_names_every_knob() -> None:
    tree = {
        "training": {"phases": [{"steps": 150, "decay": None}], "bf16": True},
        "empty": {},
        "odd(key)": 0.5,
    }
    assert provenance.flatten({}) == {}
    assert provenance.flatten(tree) == {
        "training.phases.0.steps": "150",
        "training.phases.0.decay": "null",
        "training.bf16": "true",
        "empty": "{}",
        "odd_key_": "0.5",
    }


def test_flatten_cuts_what_mlflow_would_refuse() -> None:
    text = provenance.flatten({"names": "x" * 7000})["names"]
    assert len(text) <= provenance.MAX_PARAM_CHARACTERS
    assert text.endswith("[cut: 7000 characters in all]")


def test_git_tags_tell_a_changed_tree_from_a_clean_one(tmp_path: Path) -> None:
    assert provenance.git_tags(tmp_path)["mlflow.source.git.commit"] == "unknown"
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    (tmp_path / "dvc.lock").touch()
    (tmp_path / "ablations.yaml").touch()
    (tmp_path / "dvc.yaml").write_text("stages: {}")
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *arguments], check=True)
    tags = provenance.git_tags(tmp_path)
    assert len(tags["mlflow.source.git.commit"]) == 40
    (tmp_path / "dvc.lock").write_text("written by the pipeline while it runs")
    (tmp_path / "ablations.yaml").write_text("ablations: [] # a run has its own overrides as a tag")
    assert provenance.git_tags(tmp_path)["git.dirty"] == "false"
    (tmp_path / "notes.txt").write_text("of no consequence")
    assert provenance.git_tags(tmp_path)["git.dirty"] == "false"
    (tmp_path / "dvc.yaml").write_text("stages: {a: {cmd: x}}")
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "new.py").touch()
    tags = provenance.git_tags(tmp_path)
    assert (tags["git.dirty"], tags["git.changed"]) == ("true", "dvc.yaml, src/")


LOCK = """
schema: '2.0'
stages:
  filter:
    cmd: x
    deps: [{path: raw.txt, hash: md5, md5: r1}]
    outs: [{path: data/corpus, hash: md5, md5: c1.dir}]
  train:
    cmd: x
    deps: [{path: data/corpus, hash: md5, md5: c0.dir}]
    outs: [{path: models/retriever, hash: md5, md5: old.dir}]
  evaluate:
    cmd: x
    deps: [{path: models/retriever/model.safetensors, hash: md5, md5: old}]
    outs: [{path: results/evaluate, hash: md5, md5: older.dir}]
"""


def test_dvc_tags_leave_out_what_the_running_stage_will_replace(tmp_path: Path) -> None:
    lock = tmp_path / "dvc.lock"
    assert provenance.dvc_tags(lock) == {}
    lock.write_text(LOCK)
    assert provenance.dvc_tags(lock, "train") == {"dvc.raw.txt": "r1", "dvc.data/corpus": "c1.dir"}
    assert provenance.dvc_tags(lock)["dvc.results/evaluate"] == "older.dir"
    lock.write_text("- not\n- a lock")
    with pytest.raises(RevelaError, match=r"dvc\.lock"):
        provenance.dvc_tags(lock)

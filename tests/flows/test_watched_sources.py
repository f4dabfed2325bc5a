"""Whether a source has changed."""

from __future__ import annotations

import subprocess

from flows._sources import fingerprints
from revela.settings import CorpusSettings


def corpus(*sources: dict) -> CorpusSettings:
    return CorpusSettings.model_validate({"sources": list(sources)})


def test_a_folder_changes_with_its_files(tmp_path):
    (tmp_path / "a.txt").write_text("one")
    settings = corpus({"kind": "folder", "path": str(tmp_path)})
    before = fingerprints(settings)
    assert fingerprints(settings) == before
    (tmp_path / "b.txt").write_text("two")
    assert fingerprints(settings) != before


def test_rows_of_a_glob_pattern_change_with_the_files(tmp_path):
    (tmp_path / "a.jsonl").write_text("{}")
    settings = corpus({"kind": "files", "path": str(tmp_path / "*.jsonl")})
    before = fingerprints(settings)
    (tmp_path / "other.txt").write_text("not meant")
    assert fingerprints(settings) == before
    (tmp_path / "b.jsonl").write_text("{}")
    assert fingerprints(settings) != before


def test_a_repository_changes_with_its_revision_alone(tmp_path):
    def git(*arguments: str) -> None:
        subprocess.run(
            ["git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@localhost", *arguments],
            check=True, capture_output=True,
        )  # fmt: skip

    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "one")
    settings = corpus({"kind": "git", "path": str(tmp_path)})
    before = fingerprints(settings)
    (tmp_path / "untracked").write_text("x")
    assert fingerprints(settings) == before
    git("commit", "-q", "--allow-empty", "-m", "two")
    assert fingerprints(settings) != before


def test_a_source_is_told_apart_by_its_settings_and_its_distributions_versions():
    one = fingerprints(corpus({"kind": "distributions", "names": ["click"]}))
    two = fingerprints(corpus({"kind": "distributions", "names": ["click", "attrs"]}))
    assert list(one) == ["0 distributions"] and one != two

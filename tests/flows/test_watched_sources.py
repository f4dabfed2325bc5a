"""Whether a source has changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from flows._sources import fingerprints
from revela.errors import RevelaError
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


HUB = {"kind": "hub", "name": "someone/texts"}


def test_a_data_set_of_the_hub_changes_with_its_revision():
    """Asked over HTTP as the hub's client does; the hub itself cannot be reached where tests run."""
    revision = ["1" * 40]

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path.startswith("/api/datasets/someone/texts")
            body = json.dumps({"id": HUB["name"], "sha": revision[0]}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    code = (
        "from flows._sources import fingerprints; from revela.settings import CorpusSettings; "
        f"print(fingerprints(CorpusSettings.model_validate({{'sources': [{HUB!r}]}})))"
    )
    with HTTPServer(("127.0.0.1", 0), Answers) as hub:
        threading.Thread(target=hub.serve_forever, daemon=True).start()
        where = {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}"}

        def told() -> str:
            command = [sys.executable, "-c", code]
            return subprocess.check_output(command, env={**os.environ, **where}, text=True)

        before = told()
        revision[0] = "2" * 40
        after = told()
        hub.shutdown()
    assert before.startswith("{'0 hub': ") and after.startswith("{'0 hub': ") and before != after


def test_a_hub_that_does_not_answer_is_a_fault_with_the_sources_name():
    with pytest.raises(RevelaError, match="someone/texts: the hub does not tell its revision"):
        fingerprints(corpus(HUB))


def test_a_fixed_commit_of_the_hub_is_not_asked_for():
    pinned = {**HUB, "revision": "3" * 40}
    assert fingerprints(corpus(pinned)) == fingerprints(corpus(pinned))

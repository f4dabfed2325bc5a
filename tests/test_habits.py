"""What contributors and CI run is what the Makefile runs, and their files are well formed."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def read(name: str) -> dict:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def test_ci_runs_the_script_that_anyone_can_run():
    workflow = read(".github/workflows/ci.yml")
    # YAML 1.1 takes the key `on` for a truth value.
    assert set(workflow[True]) == {"push", "pull_request"}
    (job,) = workflow["jobs"].values()
    assert (job["runs-on"], job["timeout-minutes"]) == ("ubuntu-latest", 90)
    assert [step["run"] for step in job["steps"] if "run" in step] == ["bash .ci/run"]
    versions = [step["with"]["python-version"] for step in job["steps"] if "with" in step]
    assert versions == ["3.11"] and (ROOT / ".ci" / "run").is_file()


def test_the_hooks_before_a_commit_are_the_commands_of_make_lint():
    commands = re.search(r"^lint:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)[1].split("\n\t")
    (local,) = read(".pre-commit-config.yaml")["repos"]
    assert local["repo"] == "local" and {hook["language"] for hook in local["hooks"]} == {"system"}
    entries = [hook["entry"].removeprefix(".venv/bin/") for hook in local["hooks"]]
    assert entries == [command.strip() for command in commands]
    assert not any(hook["pass_filenames"] for hook in local["hooks"])


def test_commands_that_the_guide_names_exist():
    from typer.main import get_command

    from revela.cli import app

    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))
    assert set(re.findall(r"(?:`|\$ )make ([a-z]+)", guide)) <= targets
    assert set(re.findall(r"bin/revela ([a-z-]+)", guide)) <= set(get_command(app).commands)


def test_the_changes_have_a_place_for_the_next_ones():
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert all(re.fullmatch(r"\d+\.\d+\.\d+ - \d{4}-\d\d-\d\d", heading) for heading in headings[1:])

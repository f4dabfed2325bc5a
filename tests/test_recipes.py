"""The recipes of CONTRIBUTING.md, carried out as they stand there, each in a copy of its own.

A step is a fenced block under a line that says where it goes::

    `file`, a new file:
    `file`, after the line with `text`:          (or before, or in place of)
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "recipes"
STEP = re.compile(
    r"^`(?P<file>[^`\n]+)`, "
    r"(?:a new file|(?P<place>after|before|in place of) the line with `(?P<text>[^`\n]+)`):\n\n"
    r"(?P<fence>`{3,})\w+\n(?P<block>.*?\n)(?P=fence)$",
    re.MULTILINE | re.DOTALL,
)
FENCE = re.compile(r"^`{3,}", re.MULTILINE)
# Recipe -> which fixtures its test needs, as pytest's own options: those of tests/conftest.py take seconds.
FIXTURES = {
    "benchmark": ["--noconftest"],
    "filter": ["--confcutdir=tests/corpus"],
    "grouping": ["--confcutdir=tests/groups"],
    "objective": ["--confcutdir=tests"],
    "source": ["--confcutdir=tests/corpus"],
}
# Elsewhere revela is installed from this very folder: what is run must come from the copy.
RUN = """
import sys, pytest, revela
assert revela.__file__.startswith(sys.argv[1]), revela.__file__
sys.exit(pytest.main(sys.argv[2:]))
"""


def put(folder: Path, step: re.Match[str]) -> str:
    """Carry out one step; the file that it concerns."""
    path, block = folder / step["file"], step["block"]
    if step["place"] is None:
        assert not path.exists(), f"{step['file']} is there already"
        path.write_text(block, encoding="utf-8")
        return step["file"]
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    found = [number for number, line in enumerate(lines) if step["text"] in line]
    assert len(found) == 1, f"{step['file']}: {len(found)} lines with `{step['text']}`"
    first = found[0] + (step["place"] == "after")
    last = found[0] + (step["place"] != "before")
    path.write_text("".join([*lines[:first], block, *lines[last:]]), encoding="utf-8")
    return step["file"]


def in_copy(folder: Path, *command: str) -> None:
    environment = {**os.environ, "PYTHONPATH": f"{folder / 'src'}{os.pathsep}{folder / 'tests'}"}
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:]


def test_there_are_five_recipes_and_the_guide_names_each():
    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert sorted(path.stem for path in FOLDER.iterdir()) == sorted(FIXTURES)
    assert all(f"(docs/recipes/{name}.md)" in guide for name in FIXTURES)


@pytest.mark.parametrize("name", FIXTURES)
def test_a_recipe_can_be_followed(name, tmp_path):
    text = (FOLDER / f"{name}.md").read_text(encoding="utf-8")
    steps = list(STEP.finditer(text))
    # Two fences a block, but for those inside a block: no code stands there that is not carried out.
    assert len(FENCE.findall(STEP.sub("", text))) == 0 and len(steps) >= 4
    for part in ("src", "tests", "docs"):
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "images", "golden")
        shutil.copytree(ROOT / part, tmp_path / part, ignore=ignored)
    for file in ("pyproject.toml", "params.yaml", "README.md"):
        shutil.copy(ROOT / file, tmp_path)
    changed = dict.fromkeys(put(tmp_path, step) for step in steps)
    code = [file for file in changed if file.endswith(".py")]
    tests = [file for file in changed if file.startswith("tests/")]
    assert tests and any(file.startswith("docs/") for file in changed)
    tests.append("tests/docs/test_settings_and_links.py::test_a_settings_example_is_valid")
    in_copy(tmp_path, "-m", "ruff", "format", "--no-cache", *code)  # blank lines around what was put in
    in_copy(tmp_path, "-m", "ruff", "check", "--no-cache", *code)
    in_copy(tmp_path, "-c", RUN, str(tmp_path), "-q", "-p", "no:cacheprovider", *FIXTURES[name], *tests)

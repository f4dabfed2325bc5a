"""Presets: the paper's recipes with the paper's own hyperparameters, and one for each size of card."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from revela.ablations.plan import plan
from revela.settings import load_settings

FOLDER = Path(__file__).parents[1] / "presets"
PRESETS = sorted(FOLDER.glob("paper-*.yaml"))
CARDS = sorted(FOLDER.glob("gpu-*.yaml"))


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_a_preset_is_the_papers_recipe(path):
    settings = load_settings(path)
    training, objective = settings.training, settings.objective
    assert (training.lora.rank, training.lora.alpha, len(training.lora.targets)) == (256, 64, 7)
    assert (objective.attention, objective.temperature, objective.v_norm) == ("paper", 1e-4, True)
    assert (settings.batches.group_size, settings.batches.query_ratio) == (16, 0.5)
    (phase,) = training.phases
    assert set(phase.learning_rate.values()) == {1e-4} and phase.warmup_steps == 100
    # One epoch: as many groups as steps times groups a step, but for a last incomplete step.
    left = settings.batches.max_groups - phase.steps * training.groups_per_step
    assert 0 <= left < training.groups_per_step


def test_there_are_both_corpora_and_two_sizes():
    assert [path.stem for path in PRESETS] == [
        "paper-code-0.1b", "paper-code-1b", "paper-wiki-0.1b", "paper-wiki-1b"
    ]  # fmt: skip


def test_every_preset_is_the_papers_or_a_cards():
    assert sorted(FOLDER.glob("*.yaml")) == sorted([*PRESETS, *CARDS])
    assert [path.stem for path in CARDS] == ["gpu-24gb", "gpu-4x80gb", "gpu-80gb"]


@pytest.mark.parametrize("path", CARDS, ids=lambda path: path.stem)
def test_a_cards_preset_trains_on_parts_with_the_language_model_whole(path):
    settings = load_settings(path)
    training = settings.training
    assert training.groups_per_forward == "auto" and settings.objective.attention == "joint"
    assert training.lora_of("retriever").rank == 64 and training.lora_of("lm") is None
    assert [phase.name for phase in training.phases] == ["adapt", "revela"]
    assert all(phase.rows == "parts" for phase in training.phases)
    # Parts are two rows a chunk: groups of 16 rows.
    assert settings.batches.group_size == 8


def test_four_cards_share_the_groups_of_a_step_evenly():
    assert load_settings(FOLDER / "gpu-4x80gb.yaml").training.groups_per_step % 4 == 0


@pytest.mark.parametrize("path", [*PRESETS, *CARDS], ids=lambda path: path.stem)
def test_beside_a_preset_the_shipped_ablations_are_planned_but_for_what_makes_no_sense(path, tmp_path):
    shutil.copy(FOLDER.parent / "ablations.yaml", tmp_path)
    settings = load_settings(shutil.copy(path, tmp_path / "params.yaml"))
    left_out: list[str] = []
    planned = {run.name for run in plan(settings, warn=left_out.append)}
    # Nothing is whitened there; and of three sources two would have no weight.
    unfit = {"equal-token-weights", *(["mixed-corpora"] if len(settings.corpus.sources) > 2 else [])}
    assert {ablation.name for ablation in settings.ablations} - planned == unfit
    assert len(left_out) == len(unfit)
    assert all("ablations.yaml: ablations: " in line for line in left_out)

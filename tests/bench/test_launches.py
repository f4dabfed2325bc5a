"""A step asks a device for little, and hardly ever waits for it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bench.inputs import prepare_models, write_narrow_lm
from bench.launches import Count, DispatchCounter, count_step, markdown

LAYERS, GROUPS = 4, 16


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("narrow")
    write_narrow_lm(folder / "plain", LAYERS)
    prepare_models(folder / "models", LAYERS, source=folder / "plain")
    return folder / "models"


@pytest.fixture(scope="module", params=["joint", "paper"])
def counts(models, request) -> tuple[Count, Count]:
    one, many = (
        count_step(models, request.param, groups, size=16, whole_lm=False, longest=16)
        for groups in (1, GROUPS)
    )
    return one, many


def at_30_layers(count: Count, kind: str) -> float:
    """For each group, were the models 30 layers deep; a little too much, for not all grows with depth."""
    return count.total(kind) / LAYERS * 30 / count.groups


def test_at_sixteen_groups_a_forward_a_group_is_few_operators_and_casts(counts):
    # One group a forward, peft's own adapters and padding took 23 800 and 5 050.
    assert at_30_layers(counts[1], "operators") <= 1100
    assert at_30_layers(counts[1], "casts") <= 200


def test_sixteen_groups_ask_for_hardly_more_than_one(counts):
    one, many = counts
    assert many.total("operators") <= 1.4 * one.total("operators")


def test_a_step_waits_for_the_device_at_most_four_times(counts):
    for count in counts:
        assert count.total("waits") <= 4


def test_operators_views_casts_and_waits_are_told_apart():
    counter = DispatchCounter()
    numbers = torch.arange(6.0)
    with counter:
        numbers.view(2, 3)
        numbers.to(torch.float64)
        numbers[numbers > 2]
        (numbers + 1).sum().item()
    found = {kind: number for (_, kind), number in counter.counts.items()}
    assert found == {"views": 1, "casts": 1, "waits": 2, "operators": 6}


def test_the_table_has_a_row_a_count():
    text = markdown({"a": Count(2, {"backward": {"operators": 10, "waits": 3}})}, 30, 16)
    assert "| a | 5 | 0 | 0 | 3 |" in text
    assert "| a | 0 | 0 | 10 | 0 |" in text

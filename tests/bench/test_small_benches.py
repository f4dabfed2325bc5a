"""The benchmarks of a frozen language model, of encoding and of logging, from end to end, tiny."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench import (
    activation_memory,
    contrastive_step,
    encode,
    evaluation,
    frozen_lm,
    groups_per_forward,
    metric_logging,
    start_up,
)

reads_peak_memory = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="peak memory on the CPU is read from Linux's /proc"
)


@reads_peak_memory
def test_a_frozen_language_models_step(tmp_path):
    frozen_lm.main(layers=1, size=4, tokens=16, repeats=1, random=True, out=tmp_path)
    table = (tmp_path / "frozen_lm.md").read_text()
    assert "| with a backward pass |" in table and "| ratio | " in table


@reads_peak_memory
def test_a_contrastive_step(tmp_path):
    contrastive_step.main(pairs=4, tokens=16, repeats=1, out=tmp_path)
    table = (tmp_path / "contrastive_step.md").read_text()
    assert "| one forward |" in table and "| ratio | " in table


@reads_peak_memory
def test_groups_in_one_forward(tmp_path):
    groups_per_forward.main(layers=1, size=4, tokens=16, repeats=1, random=True, out=tmp_path)
    table = (tmp_path / "groups_per_forward.md").read_text()
    assert all(f"| {name} |" in table for name in groups_per_forward.VARIANTS)


def test_a_checkpointed_layer_keeps_its_input_alone(tmp_path):
    plain, checkpointed = (
        activation_memory.measure(
            tmp_path, whole_lm=True, checkpointed=checkpointed, groups=1, size=4, tokens=8
        )
        for checkpointed in (False, True)
    )
    # 576 columns of two bytes; those of a language model that trains whole are float32.
    assert checkpointed == {"retriever": pytest.approx(1152, rel=0.02), "lm": pytest.approx(2304, rel=0.02)}
    assert plain["retriever"] > 10 * checkpointed["retriever"] and plain["lm"] > 10 * checkpointed["lm"]


@reads_peak_memory
def test_encoding(tmp_path):
    encode.main(count=12, layers=1, max_tokens=32, batch_size=4, repeats=1, random=True, out=tmp_path)
    table = (tmp_path / "encode.md").read_text()
    assert "| sentence-transformers |" in table and "12 texts" in table


@reads_peak_memory
def test_evaluation(tmp_path):
    evaluation.main(pairs=12, layers=1, max_tokens=32, repeats=1, random=True, out=tmp_path)
    table = (tmp_path / "evaluation.md").read_text()
    assert "| evaluate, revela, again |" in table and "| whitening, revela |" in table


def test_start_up(tmp_path):
    start_up.main(repeats=1, imports="import json", kinds=["classes"], out=tmp_path)
    table = (tmp_path / "start_up.md").read_text()
    assert "| imports, revela |" in table and "| benchmarks, revela, again |" in table


def test_a_thousand_points_take_less_than_a_second_from_a_training(tmp_path):
    metric_logging.main(points=1000, reference_points=40, repeats=1, out=tmp_path)
    table = (tmp_path / "metric_logging.md").read_text()
    figures = re.findall(r"\| (a call a point|revela) \| ([\d.]+) \| ([\d.]+) \|", table)
    (_, theirs, _), (_, ours, worked) = figures
    assert float(worked) < 1, "of the processor, for others share it with the tests"
    assert float(ours) < 0.2 * float(theirs)

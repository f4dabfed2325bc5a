"""Small pieces of the training stage: its records, its checkpoints, its arithmetic."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from revela.modeling.precision import resolve_dtype
from revela.training import checkpoints, flops
from revela.training.flops import matmul_weights, step_flops
from revela.training.records import StepRecorder, read_rows, summarise, write_reproducible


def test_reopening_drops_the_steps_that_are_taken_again(tmp_path):
    path, heard = tmp_path / "curve.csv", []
    recorder = StepRecorder(path, 4, 0, sink=lambda figures, step: heard.append(step))
    for step in range(3):
        recorder.record(step, "p", {"loss": 1.0 + step, "tokens_per_second": 9.0})
    recorder.close()
    with path.open("a") as file:
        file.write("3,p,4.")  # a line that a kill cut short
    recorder = StepRecorder(path, 4, 2, sink=lambda figures, step: heard.append(step))
    recorder.record(2, "p", {"loss": 7.0})
    recorder.close()
    assert [(row["step"], row["loss"]) for row in read_rows(path)] == [("0", "1"), ("1", "2"), ("2", "7")]
    assert heard == [0, 1, 2, 2]
    write_reproducible(path, tmp_path / "copy.csv")
    assert "tokens_per_second" not in (tmp_path / "copy.csv").read_text()


def test_the_summary_averages_the_end_of_every_phase():
    rows = [{"step": str(i), "phase": "a" if i < 3 else "b", "loss": str(i)} for i in range(5)]
    assert summarise(rows, last=2) == {"a": {"steps": 3, "loss": 1.5}, "b": {"steps": 2, "loss": 3.5}}


def test_a_checkpoint_that_a_kill_cut_short_is_passed_over(tmp_path):
    assert checkpoints.last_checkpoint(tmp_path) is None
    for step in (9, 10, 11):
        (tmp_path / f"checkpoint-{step}").mkdir()
    for step in (9, 10):
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(f'{{"global_step": {step}}}')
    for begun in ("", '{"global_step": 1'):
        (tmp_path / "checkpoint-11" / "trainer_state.json").write_text(begun)
        assert checkpoints.last_checkpoint(tmp_path).name == "checkpoint-10"
    (tmp_path / "checkpoint-11" / "trainer_state.json").unlink()
    assert checkpoints.last_checkpoint(tmp_path).name == "checkpoint-10"


def test_the_fingerprint_follows_settings_and_contents(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "f").write_text("1")
    mark = checkpoints.fingerprint({"lr": 1}, tmp_path / "a")
    assert mark == checkpoints.fingerprint({"lr": 1}, tmp_path / "a")
    assert mark != checkpoints.fingerprint({"lr": 2}, tmp_path / "a")
    (tmp_path / "a" / "__pycache__").mkdir()
    (tmp_path / "a" / "__pycache__" / "f.pyc").write_text("compiled at another time")
    assert mark == checkpoints.fingerprint({"lr": 1}, tmp_path / "a")
    (tmp_path / "a" / "f").write_text("2")
    assert mark != checkpoints.fingerprint({"lr": 1}, tmp_path / "a")


@pytest.mark.parametrize(("longest", "sizes"), [(0.0, [256]), (1e9, [256, 1536])])
def test_the_peak_is_measured_on_large_products_unless_they_would_take_long(monkeypatch, longest, sizes):
    measured = []

    def rate(device: torch.device, dtype: torch.dtype, size: int, repeats: int) -> float:
        measured.append(size)
        return best_rate(device, dtype, size, repeats)

    best_rate = flops._best_rate
    monkeypatch.setattr(flops, "_best_rate", rate)
    monkeypatch.setattr(flops, "_LONGEST_S", longest)
    assert flops.matmul_peak.__wrapped__(torch.device("cpu"), torch.float32) > 0
    assert measured == sizes


def test_flops_follow_the_formula():
    model = nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 8), nn.LayerNorm(8), nn.Linear(8, 2))
    assert matmul_weights(model) == 4 * 8 + 8 * 2
    assert step_flops(48, 10, backward=False, frozen_share=0.0) == 2 * 48 * 10
    assert step_flops(48, 10, backward=True, frozen_share=0.0) == 6 * 48 * 10
    assert step_flops(48, 10, backward=True, frozen_share=1.0) == 4 * 48 * 10


def test_precision_can_be_forced_and_is_never_guessed_wrong():
    cpu = torch.device("cpu")
    assert resolve_dtype("fp32", cpu) == torch.float32
    assert resolve_dtype("bf16", cpu) == torch.bfloat16
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    assert resolve_dtype("auto", cpu) == (torch.bfloat16 if native else torch.float32)

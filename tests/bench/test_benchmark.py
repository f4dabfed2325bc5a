"""`revela bench` from end to end, tiny, and its parts."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from bench.case import Case, measure_case
from bench.in_batch_attention import main, plan
from bench.inputs import make_batches, prepare_models, source_files
from bench.measure import growth_exponent, peak_memory, timed_step
from bench.report import exponents, ratios
from bench.turns import by_turns
from revela.errors import RevelaError

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="peak memory on the CPU is read from Linux's /proc"
)


def bench(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "revela", "bench", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


@needs_proc
def test_a_tiny_run_writes_rows_tables_and_a_picture(tmp_path, causal_lm_folder):
    result = bench(
        "--group-sizes=2,4", "--attention=paper", "--layers=2", "--tokens=16", "--repeats=2", "--rank=4",
        "--precision=fp32", "--reference-up-to=2", "--checkpointed-up-to=4", f"--model={causal_lm_folder}",
        f"--out={tmp_path}",
    )  # fmt: skip

    assert result.returncode == 0, result.stderr
    rows = json.loads((tmp_path / "in_batch_attention.json").read_text())
    assert [(row["attention"], row["B"], row["checkpointed"], row["impl"]) for row in rows] == [
        ("paper", 2, False, "ours"),
        ("paper", 2, False, "reference"),
        ("paper", 4, False, "ours"),
        ("paper", 4, True, "ours"),
        ("paper", 4, True, "reference"),
    ]
    for row in rows:
        assert (row["L"], row["layers"]) == (16, 2)
        assert row["step_s"] > 0 and row["flops"] > 0 and len(row["steps"]) == 2
        assert row["peak_mb"] >= 0
    for ours, reference in (rows[0:2], rows[3:5]):
        assert ours["first_loss"] == pytest.approx(reference["first_loss"], rel=1e-4)
    run = json.loads((tmp_path / "in_batch_attention_run.json").read_text())
    assert run["machine"]["OMP_WAIT_POLICY"] == "PASSIVE"
    assert run["peak_flops"] > 0 and run["failures"] == []
    assert [(row["B"], row["checkpointed"]) for row in run["ratios"]] == [(2, False), (4, True)]
    table = (tmp_path / "in_batch_attention.md").read_text()
    assert (
        run["machine"]["processor"] in table
        and "| paper | 4 | checkpointed | reference (alternating) |" in table
    )
    assert (tmp_path / "in_batch_attention.png").read_bytes().startswith(b"\x89PNG")


def test_outside_the_repository_it_says_where_the_benchmark_is(tmp_path):
    result = bench(cwd=tmp_path)
    assert result.returncode == 1
    assert "clone" in result.stderr and "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"group_sizes": "1,4"}, "at least 2 chunks, found 1"),
        ({"group_sizes": "four"}, "separated by commas, found 'four'"),
        ({"attention": "dense"}, "'dense' is none of paper, joint"),
        ({"precision": "fp8"}, "'fp8' is none of auto, bf16, fp32"),
    ],
)
def test_wrong_options_are_refused_before_any_work(tmp_path, options, message):
    with pytest.raises(RevelaError, match=message):
        main(**options, out=tmp_path / "results")
    assert list(tmp_path.iterdir()) == []


@needs_proc
def test_joint_attention_is_measured_alone(causal_lm_folder, tmp_path):
    prepare_models(tmp_path / "models", 1, source=causal_lm_folder)
    case = Case("joint", 4, 1, 16, 1, 4, ("ours",), False, (True,), str(tmp_path / "models"), "fp32")
    (row,) = measure_case(case)
    assert (row["impl"], row["attention"], row["alternating"]) == ("ours", "joint", False)


def test_the_reference_runs_where_it_fits_and_checkpointed_where_only_that_fits():
    both = ("ours", "reference")
    assert plan([16, 64, 128], ["paper", "joint"], reference_up_to=32, checkpointed_up_to=64) == [
        ("paper", 16, both, False),
        ("joint", 16, ("ours",), False),
        ("paper", 64, ("ours",), False),
        ("paper", 64, both, True),
        ("joint", 64, ("ours",), False),
        ("paper", 128, ("ours",), False),
        ("joint", 128, ("ours",), False),
    ]


def test_groups_are_consecutive_whole_chunks_of_real_text(causal_lm_folder):
    batches = make_batches(causal_lm_folder, size=3, tokens=24, count=2)
    tokenizer = AutoTokenizer.from_pretrained(causal_lm_folder)
    assert len(batches) == 2
    chunks = torch.cat([batch["lm"]["input_ids"] for batch in batches])
    assert chunks.shape == (6, 24)
    text = source_files()[0].read_text(encoding="utf-8")
    assert text.startswith(tokenizer.decode(chunks.flatten()))
    batch = batches[0]
    assert batch["passage"]["input_ids"].shape == (3, 24)
    assert (batch["query"]["input_ids"][:, -1] == tokenizer.eos_token_id).all()
    assert tokenizer.decode(batch["query"]["input_ids"][0]).startswith("query: ")
    assert all(bool(part["attention_mask"].all()) for part in batch.values())


@needs_proc
def test_the_peak_counts_what_was_freed_again_but_nothing_from_before():
    held = torch.ones(30_000_000, dtype=torch.uint8)
    with peak_memory(CPU) as peak:
        passing = torch.ones(80_000_000, dtype=torch.uint8)
        del passing
    assert 75e6 < peak.bytes < 95e6
    with peak_memory(CPU) as peak:
        held.add_(1)
    assert peak.bytes < 10e6


def test_a_timed_step_trains_and_leaves_no_gradient():
    weight = torch.nn.Parameter(torch.tensor(2.0))
    times, loss = timed_step(lambda: weight**2, torch.optim.SGD([weight], lr=0.25), CPU)
    assert (loss, weight.item(), weight.grad) == (4.0, 1.0, None)
    assert times.step_s == times.forward_s + times.backward_s + times.optimizer_s > 0


@needs_proc
def test_methods_take_turns_and_only_those_after_the_warm_up_are_timed():
    calls = []

    def method(name: str) -> Callable[[], tuple[float, str]]:
        def turn() -> tuple[float, str]:
            calls.append(name)
            return float(len(calls)), f"turn {len(calls)}"

        return turn

    found = by_turns({"a": method("a"), "b": method("b")}, 3, CPU, warm_up=1)
    assert calls == ["a", "b"] * 5
    assert found["a"].seconds == 7.0 and found["b"].seconds == 8.0
    assert found["a"].given == "turn 3" and found["b"].given == "turn 4"


def test_the_exponent_of_a_power_is_that_power():
    assert growth_exponent([16, 32, 64], [3 * size**1.5 for size in (16, 32, 64)]) == pytest.approx(1.5)
    with pytest.raises(ValueError, match="two different sizes"):
        growth_exponent([16, 16], [1.0, 2.0])


def row(impl: str, size: int, step: float, peak: float, *, alternating: bool) -> dict:
    return {
        "impl": impl, "attention": "paper", "B": size, "checkpointed": False, "step_s": step,
        "forward_s": step / 3, "backward_s": step / 2, "peak_mb": peak, "alternating": alternating,
    }  # fmt: skip


def test_exponents_start_at_16_and_ratios_need_steps_taken_in_turns():
    rows = [
        row("ours", 8, 9.0, 9.0, alternating=True),
        row("ours", 16, 1.0, 10.0, alternating=True),
        row("reference", 16, 4.0, 40.0, alternating=True),
        row("ours", 32, 2.0, 40.0, alternating=False),
    ]
    (found,) = exponents(rows)
    assert (found["impl"], found["from"], found["to"], found["step_s"], found["peak_mb"]) == (
        "ours", 16, 32, 1.0, 2.0,
    )  # fmt: skip
    (ratio,) = ratios(rows)
    assert (ratio["B"], ratio["step_s"], ratio["peak_mb"]) == (16, 0.25, 0.25)

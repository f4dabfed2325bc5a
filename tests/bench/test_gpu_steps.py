"""The steps of a run on a GPU themselves, on tiny models."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from bench.gpu.kernels import kind_of
from bench.gpu.materials import Materials
from bench.gpu.parity import golden_rows
from bench.gpu.plan import plan
from bench.gpu.run import work_through
from bench.gpu.speed import modelling_as_it_was
from bench.gpu.store import Store, read_lines
from revela.groups.reading import Groups
from revela.training.checkpoints import last_checkpoint
from tests.bench.gpu_folder import GOLDEN
from tests.bench.gpu_job import ABOUT, calibrated, make_job, statuses


@pytest.mark.parametrize(
    ("kernel", "kind"),
    [
        ("nvjet_sm90_tst_192x192_64x4_2x1_v_bz_coopB_TNN", "matrix products"),
        ("cudnn_generated_fort_native_sdpa_sm90_flash_bprop_wgmma_f16_knob_26", "attention"),
        ("triton_poi_fused__to_copy_mul_silu_3", "compiled"),
        ("void at::native::vectorized_gather_kernel<16, long>(char*, char*)", "gathering and scattering"),
        ("void at::native::elementwise_kernel<128, 4, direct_copy_kernel_cuda>", "copies and casts"),
        ("void at::native::vectorized_elementwise_kernel<8, silu_backward_kernel>", "other elementwise"),
    ],
)
def test_kernels_are_told_apart_by_their_names(kernel, kind):
    assert kind_of(kernel) == kind


def test_seeds_see_the_same_groups_in_orders_of_their_own(gpu_folder, tmp_path):
    materials = Materials(gpu_folder, tmp_path, tiny=True)

    def order(**where):
        return [group[0].chunk_id for group in Groups(materials.groups("python", **where))]

    first, second, later = order(seed=1), order(seed=2), order(seed=1, start=3)
    assert first != second and sorted(first) == sorted(second)
    assert later == first[3:] + first[:3], "a second training goes on where the first one ended"


def test_the_golden_vectors_are_within_tolerance_in_float32_and_reported_in_bfloat16(tmp_path):
    for pattern in ("inputs.*", "llama_config.*", "llama_model.*", "llama_tau0.05_vnorm.*"):
        for file in GOLDEN.glob(pattern):
            (tmp_path / file.name).symlink_to(file)
    rows = list(golden_rows(tmp_path, torch.device("cpu")))
    assert [(row["dtype"], row["within"]) for row in rows] == [("float32", True)] * 2 + [
        ("bfloat16", None)
    ] * 2
    assert rows[0]["similarities_error"] < rows[2]["similarities_error"] < 0.5


def test_contrastive_then_revela_are_two_trainings_after_the_language_model_was_adapted(
    gpu_folder, tmp_path, tracking
):
    job = make_job(gpu_folder, tmp_path)
    calibrated(job.store)
    run = "bare: contrastive then revela, seed 1"
    steps = [one for one in plan(job.materials.has) if one.name in ("adapt", run)]
    work_through(steps, job)

    assert statuses(tmp_path)[1:] == [("adapt", "done"), (run, "done")], job.store.rows
    (score,) = job.store.found(kind="score", run=run)
    assert score["groups"] == 4 and score["seed"] == 1 and list(score["ndcg"]) == ["docstrings"]
    assert list(score["figures"]) == ["contrastive", "revela"] and score["training_s"] > 0
    assert [row["groups"] for row in job.store.found(kind="probe", run=run)] == [2, 4]
    (scores,) = read_lines(tmp_path / "per_query.jsonl")
    assert len(scores["ndcg_at_10"]) == 8
    assert not (tmp_path / "checkpoints" / "bare-contrastive-then-revela-seed-1-1").exists()
    assert job.adapted_lm.is_dir(), "later runs start with it"


IN_A_PROCESS = """
import sys
from pathlib import Path
from bench.gpu.plan import plan
from bench.gpu.run import work_through
from tests.bench.gpu_job import make_job
job = make_job(Path(sys.argv[1]), Path(sys.argv[2]))
work_through([one for one in plan(job.materials.has) if one.name == sys.argv[3]], job)
"""


def test_a_killed_run_continues_at_its_trainings_checkpoint(gpu_folder, tmp_path, tracking, caplog):
    run, steps = "bare: contrastive, seed 1", 16
    store = Store(tmp_path, ABOUT)
    calibrated(store)
    store.add(step="size bare", kind="size", experiment="bare", steps=steps)
    store.add(step=run, kind="step", status="begun")
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", IN_A_PROCESS, str(gpu_folder), str(tmp_path), run],
        cwd=root, env={**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(root)])},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not any(
        phase.is_dir() and (last := last_checkpoint(phase)) and last.name == "checkpoint-9"
        for phase in tmp_path.glob("checkpoints/*/*/*")
    ):
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert dict(statuses(tmp_path))[run] == "begun"

    caplog.set_level(logging.INFO, logger="revela.training")
    job = make_job(gpu_folder, tmp_path)
    work_through([one for one in plan(job.materials.has) if one.name == run], job)

    assert "continuing phase 'contrastive' at checkpoint-9" in caplog.text
    assert dict(statuses(tmp_path))[run] == "done", job.store.rows
    (score,) = job.store.found(kind="score", run=run)
    assert score["groups"] == steps * 2
    assert {row["groups"] for row in job.store.found(kind="probe", run=run)} >= {32}


def test_what_a_kernel_library_puts_into_transformers_is_gone_afterwards():
    from transformers.models.llama import modeling_llama

    before = modeling_llama.apply_rotary_pos_emb
    with pytest.raises(ZeroDivisionError), modelling_as_it_was():
        modeling_llama.apply_rotary_pos_emb = None
        raise ZeroDivisionError
    assert modeling_llama.apply_rotary_pos_emb is before

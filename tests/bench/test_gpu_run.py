"""A run on a GPU that may end at any moment: what is done stays done, what fails stays alone."""

from __future__ import annotations

import dataclasses
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from bench.gpu.budget import Budget, affordable_steps
from bench.gpu.calibrate import steps_of
from bench.gpu.experiments import BARE, MINILM
from bench.gpu.job import Job
from bench.gpu.kernels import kind_of
from bench.gpu.materials import Materials
from bench.gpu.parity import golden_rows
from bench.gpu.plan import Step, expectations, plan, reserved
from bench.gpu.run import work_through
from bench.gpu.speed import modelling_as_it_was
from bench.gpu.store import RESULTS, Store, read_lines
from revela.groups.reading import Groups
from tests.bench.gpu_folder import GOLDEN, make_gpu_folder

ABOUT = {"card": "CPU", "torch": "2", "transformers": "5"}
TIMES = {
    "step": "calibrate bare", "kind": "time", "experiment": "bare", "mini_batch": None, "evaluation_s": 0.01,
    "groups_a_step": 2, "step_s": {"contrastive": 0.1, "revela": 0.2},
    "overhead_s": {"contrastive": 1.0, "revela": 1.0},
}  # fmt: skip


@pytest.fixture(scope="session")
def gpu_folder(tmp_path_factory, backbone_folder, groups_folder) -> Path:
    return make_gpu_folder(tmp_path_factory.mktemp("gpu"), backbone_folder, groups_folder)


@pytest.fixture
def tracking(tmp_path_factory, monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path_factory.getbasetemp()}/gpu_mlflow.db")


def make_job(folder: Path, out: Path, minutes: float = 5.0, tiny: bool = True) -> Job:
    said: list[str] = []
    return Job(Materials(folder, out, tiny), Store(out, ABOUT), Budget(minutes, reserve=0), tiny, said.append)


def calibrated(store: Store) -> None:
    """As if the steps of the experiment `bare` had been timed already."""
    store.add(**TIMES)
    store.add(step="calibrate bare", kind="step", status="done")


def statuses(out: Path) -> list[tuple[str, str]]:
    """(step, what its last row says), in the order in which they were reached."""
    rows = [row for row in read_lines(out / RESULTS) if row["kind"] == "step"]
    return list({row["step"]: row["status"] for row in rows}.items())


def step(name: str, work=lambda job: None, seconds: float = 0.0) -> Step:
    return Step(name, work, seconds)


# --- the plan ---------------------------------------------------------------------------------------------


def test_the_plan_is_in_order_of_value_and_fills_the_minutes():
    steps = plan(lambda experiment: True)
    names = [one.name for one in steps]
    assert names[:6] == [
        "models", "parity golden", "speed: parts of up to 64, 16 a forward, plain",
        "speed: paper, B = 16, 1 a forward, plain", "calibrate bare", "adapt",
    ]  # fmt: skip
    # A cut after any seed leaves a whole comparison.
    assert names[6:10] == [
        "bare: contrastive, seed 1", "bare: revela, seed 1", "bare: contrastive then revela, seed 1",
        "bare: contrastive, seed 2",
    ]  # fmt: skip
    after = names.index("paper: paper, seed 1") + 1
    assert names[after : after + 2] == ["bm25", "parity restart"]
    # It takes minutes to begin, and is no part of what the minutes are planned for.
    assert names[-1] == "speed: parts of up to 64, 16 a forward, compiled" and steps[-1].spare
    planned = expectations(steps, minutes=15)
    assert names[-1] not in dict(planned)
    assert sum(seconds for _, seconds in planned) == pytest.approx(900)


def test_what_comes_after_learning_has_time_kept_for_it_but_no_more_than_a_fifth(gpu_folder, tmp_path):
    steps = plan(lambda experiment: True)
    after = [one.name for one in steps if one.after_learning]
    assert [one.name for one in reserved(steps, 1e6)] == after
    assert [one.name for one in reserved(steps, 200.0)] == ["bm25", after[3]]  # 25 and 15 of 40 seconds
    assert reserved(steps, 10.0) == []
    job = make_job(gpu_folder, tmp_path, minutes=10, tiny=False)
    job.store.add(**TIMES)
    whole = steps_of(job, BARE)
    job.reserved_s = 120.0
    assert steps_of(job, BARE) < whole


def test_only_the_experiments_that_are_asked_for_are_planned(gpu_folder, tmp_path):
    names = [one.name for one in plan(Materials(gpu_folder, tmp_path, True, only=["long"]).has)]
    assert not [name for name in names if name.startswith(("bare:", "minilm", "paper:"))]
    first = names.index("calibrate bare")
    assert names[first : first + 3] == ["calibrate bare", "adapt", "long: revela, seed 1"]


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


def test_an_experiment_without_its_materials_is_not_planned():
    names = [one.name for one in plan(lambda experiment: experiment.start == "bare")]
    assert not [name for name in names if "minilm" in name] and "bare: revela, seed 3" in names


def test_all_methods_of_an_experiment_get_the_same_steps_and_as_many_as_the_time_pays_for():
    cost = {"step_s": {"a": 1.0, "b": 3.0}, "overhead_s": {"a": 5.0, "b": 5.0}, "probing": 0.25}
    steps = affordable_steps(300.0, seeds=3, least=1, most=1000, **cost)
    assert steps == 18  # 3 x (5 + 5) + 3 x 18 x (1 + 3) x 1.25 = 300
    assert affordable_steps(1e9, seeds=3, least=1, most=1000, **cost) == 1000
    assert affordable_steps(1.0, seeds=3, least=8, most=1000, **cost) == 8


def test_the_number_of_steps_is_kept_once_a_run_of_the_experiment_has_begun(gpu_folder, tmp_path):
    job = make_job(gpu_folder, tmp_path, minutes=2, tiny=False)
    job.store.add(**TIMES)
    first = steps_of(job, BARE)
    job.budget = Budget(4, reserve=0)
    more = steps_of(job, BARE)
    assert more > 1.5 * first, "nothing has begun: the time that is left now decides"
    job.store.add(step=BARE.run_name("revela", 1), kind="step", status="begun")
    job.budget = Budget(60, reserve=0)
    assert steps_of(job, BARE) == more


# --- what happens to steps ---------------------------------------------------------------------------------


def test_a_failing_step_leaves_a_row_with_its_traceback_and_the_next_one_runs(tmp_path):
    def fail(job):
        raise ZeroDivisionError("no groups")

    work_through([step("bad", fail), step("good")], make_job(tmp_path, tmp_path))
    assert statuses(tmp_path) == [("bad", "failed"), ("good", "done")]
    (row,) = [row for row in read_lines(tmp_path / RESULTS) if row.get("status") == "failed"]
    assert row["error"] == "ZeroDivisionError: no groups" and "in fail" in row["traceback"]
    assert {key: row[key] for key in ABOUT} == ABOUT


def test_a_second_run_does_what_is_not_done(tmp_path):
    taken = []

    def work(name, fault=None):
        def run(job):
            taken.append(name)
            if fault and taken.count(name) == 1:
                raise fault

        return step(name, run)

    steps = [work("a"), work("b", RuntimeError("once")), work("c")]
    work_through(steps, make_job(tmp_path, tmp_path))
    work_through(steps, make_job(tmp_path, tmp_path))
    assert taken == ["a", "b", "c", "b"]
    assert dict(statuses(tmp_path)) == {"a": "done", "b": "done", "c": "done"}


def test_a_step_that_the_time_does_not_allow_is_left_out_with_a_row_and_a_shorter_one_runs(tmp_path):
    job = make_job(tmp_path, tmp_path, minutes=1, tiny=False)
    work_through([step("long", seconds=90), step("short", seconds=10)], job)
    assert statuses(tmp_path) == [("long", "left out"), ("short", "done")]
    (row,) = [row for row in read_lines(tmp_path / RESULTS) if row["status"] == "left out"]
    assert row["expected_s"] == 90 and 50 < row["left_s"] <= 60


def test_what_needs_a_step_that_failed_is_left_out_and_says_why(tmp_path):
    def fail(job):
        raise OSError("no disk")

    needing = Step("adapt", lambda job: None, 0.0, needs=("calibrate bare",))
    work_through([step("calibrate bare", fail), needing], make_job(tmp_path, tmp_path))
    assert statuses(tmp_path) == [("calibrate bare", "failed"), ("adapt", "left out")]
    assert read_lines(tmp_path / RESULTS)[-1]["reason"] == "'calibrate bare' is not done"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_step_in_progress_and_nothing_else_begins(tmp_path, number):
    def interrupted(job):
        job.store.add(step="a", kind="parity", case="first")
        os.kill(os.getpid(), number)
        time.sleep(10)

    before = signal.getsignal(number)
    work_through([step("a", interrupted), step("b")], make_job(tmp_path, tmp_path))
    assert statuses(tmp_path) == [("a", "stopped"), ("b", "left out")]
    assert [row["case"] for row in read_lines(tmp_path / RESULTS) if row["kind"] == "parity"] == ["first"]
    assert signal.getsignal(number) is before


def test_a_step_that_takes_longer_than_expected_ends_with_the_time(tmp_path):
    began = time.monotonic()
    job = make_job(tmp_path, tmp_path, minutes=0.5 / 60)
    work_through([step("endless", lambda job: time.sleep(20)), step("b")], job)
    assert time.monotonic() - began < 10
    assert statuses(tmp_path) == [("endless", "stopped"), ("b", "left out")]


def test_a_line_that_a_kill_cut_short_costs_that_line_alone(tmp_path):
    Store(tmp_path, ABOUT).add(step="a", kind="step", status="done")
    with (tmp_path / RESULTS).open("a") as file:
        file.write('{"step": "b", "kind": "st')
    store = Store(tmp_path, ABOUT)
    store.add(step="c", kind="step", status="done")
    assert [row["step"] for row in read_lines(tmp_path / RESULTS)] == ["a", "c"]
    assert store.is_done("a") and not store.is_done("b")


# --- the steps themselves, on tiny models ------------------------------------------------------------------


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
from tests.bench.test_gpu_run import make_job, plan, work_through
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
    while not list(tmp_path.glob("checkpoints/*/*/*/checkpoint-9/trainer_state.json")):
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


def test_from_minilm_all_benchmarks_count_but_the_products_own(gpu_folder, tmp_path):
    materials = Materials(gpu_folder, tmp_path, tiny=True)
    assert materials.benchmark_names(MINILM.code) == ["scifact"]
    assert materials.benchmark_names(BARE.code) == ["docstrings"]
    assert materials.has(MINILM) and not materials.has(dataclasses.replace(MINILM, groups="unknown"))


def test_a_step_whose_outcome_was_lost_is_done_again(tmp_path):
    kept, taken = tmp_path / "kept", []

    def work(job):
        taken.append("models")
        kept.touch()

    models = Step("models", work, 0.0, kept=lambda job: kept.exists())
    for _ in range(2):
        work_through([models], make_job(tmp_path, tmp_path))
    kept.unlink()
    work_through([models], make_job(tmp_path, tmp_path))
    assert taken == ["models", "models"]


def test_what_a_kernel_library_puts_into_transformers_is_gone_afterwards():
    from transformers.models.llama import modeling_llama

    before = modeling_llama.apply_rotary_pos_emb
    with pytest.raises(ZeroDivisionError), modelling_as_it_was():
        modeling_llama.apply_rotary_pos_emb = None
        raise ZeroDivisionError
    assert modeling_llama.apply_rotary_pos_emb is before

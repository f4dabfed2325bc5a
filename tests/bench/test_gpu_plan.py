"""What a run on a GPU plans to do, and how many steps the time pays for."""

from __future__ import annotations

import dataclasses

import pytest

from bench.gpu.budget import Budget, affordable_steps
from bench.gpu.calibrate import steps_of
from bench.gpu.experiments import BARE, MINILM
from bench.gpu.materials import Materials
from bench.gpu.plan import expectations, plan, reserved
from tests.bench.gpu_job import TIMES, make_job


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
    job = make_job(gpu_folder, tmp_path, minutes=20, tiny=False)
    job.store.add(**TIMES)
    first = steps_of(job, BARE)
    job.budget = Budget(40, reserve=0)
    more = steps_of(job, BARE)
    assert more > 1.5 * first, "nothing has begun: the time that is left now decides"
    job.store.add(step=BARE.run_name("revela", 1), kind="step", status="begun")
    job.budget = Budget(60, reserve=0)
    assert steps_of(job, BARE) == more


def test_from_minilm_all_benchmarks_count_but_the_products_own(gpu_folder, tmp_path):
    materials = Materials(gpu_folder, tmp_path, tiny=True)
    assert materials.benchmark_names(MINILM.code) == ["scifact"]
    assert materials.benchmark_names(BARE.code) == ["docstrings"]
    assert materials.has(MINILM) and not materials.has(dataclasses.replace(MINILM, groups="unknown"))

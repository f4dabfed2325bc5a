"""The stage `train` on tiny models and real groups."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from curves import curve
from mlflow import MlflowClient
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer

from revela.files import sha256_tree
from revela.training.checkpoints import last_checkpoint, recall_run
from revela.training.pipeline import train, training_fingerprint

IN_A_PROCESS = """
import json, logging, sys
from pathlib import Path
from revela.settings import Settings
from revela.training.pipeline import train
logging.basicConfig(level=logging.INFO)
settings = Settings.model_validate_json(sys.argv[1])
train(settings, **{key: Path(value) for key, value in json.loads(sys.argv[2]).items()})
"""


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


@pytest.fixture(scope="module")
def trained(make_settings, new_places, tmp_path_factory):
    settings, places = make_settings(), new_places(tmp_path_factory.mktemp("trained"))
    train(settings, **places)
    return settings, places


def test_every_step_of_every_phase_is_recorded(trained):
    _settings, places = trained
    rows = curve(places)
    assert [row["phase"] for row in rows] == ["contrastive"] * 3 + ["adapt"] * 3 + ["revela"] * 4
    assert [int(row["step"]) for row in rows] == list(range(10))
    first, middle, last = rows[0], rows[4], rows[9]
    assert first["contrastive_loss"] and not first["conditioned_loss"] and not first["grad_norm_lm"]
    assert middle["grad_norm_lm"] and not middle["grad_norm_retriever"]
    measured = rows[6]  # the first step of the phase; the next would be gain_every = 5 later
    assert float(measured["gain"]) == pytest.approx(
        float(measured["plain_loss"]) - float(measured["conditioned_loss"]), abs=1e-4
    )
    assert [bool(row["gain"]) for row in rows[3:]] == [True, False, False, True, False, False, False]
    assert 1.0 <= float(last["effective_chunks"]) <= 3.0
    assert float(last["loss"]) == pytest.approx(
        float(last["conditioned_loss"]) + 0.5 * float(last["contrastive_loss"]), abs=1e-3
    )
    summary = json.loads((places["report_dir"] / "metrics.json").read_text())
    assert list(summary) == ["contrastive", "adapt", "revela", "kept"]
    assert summary["kept"] == {"state": "last", "because": "there is no training.validation to choose by"}
    assert summary["revela"]["gain"] == pytest.approx(float(measured["gain"]), abs=1e-5)
    assert (places["report_dir"] / "curve.png").stat().st_size > 1000


def test_each_phase_that_trains_the_retriever_leaves_one(trained):
    _, places = trained
    models = places["models_dir"]
    untrained = weights(places["backbone_dir"] / "retriever")
    contrastive, last = (weights(models / name) for name in ("phases/contrastive", "retriever"))
    key = "layers.0.self_attn.q_proj.weight"
    assert not torch.equal(untrained[key], contrastive[key])
    assert not torch.equal(contrastive[key], last[key])
    # `adapt` trains the LM alone, so the retriever after it is the one before it.
    assert [path.name for path in (models / "phases").iterdir()] == ["contrastive"]
    assert SentenceTransformer(str(models / "retriever")).encode_query("text").shape == (32,)


def run_of(places: dict, settings) -> str:
    mark = training_fingerprint(settings, places["backbone_dir"], places["groups_dir"])
    return recall_run(places["checkpoints_dir"] / mark)


def test_the_figures_reach_mlflow_with_the_rates_of_speed(trained, tracking_store):
    settings, places = trained
    client = MlflowClient(tracking_store)
    run = client.get_run(run_of(places, settings))
    assert run.info.status == "FINISHED"
    assert len(client.get_metric_history(run.info.run_id, "train/loss")) == 10
    assert run.data.metrics["train/tokens_per_second"] > 0
    assert 0 < run.data.metrics["train/model_flops_utilisation"] < 1
    assert run.data.params["training.phases.0.steps"] == "3"


def test_the_same_seed_gives_the_same_models_and_reports(trained, new_places, tmp_path):
    settings, places = trained
    again = new_places(tmp_path)
    train(settings, **again)
    for key in ("models_dir", "report_dir"):
        assert sha256_tree(places[key]) == sha256_tree(again[key])


def test_another_seed_gives_another_model(trained, places, make_settings):
    train(make_settings(seed=1), **places)
    assert sha256_tree(trained[1]["models_dir"]) != sha256_tree(places["models_dir"])


def test_a_killed_training_continues_with_the_curve_of_an_undisturbed_one(trained, places, tracking_store):
    settings, undisturbed = trained
    arguments = [sys.executable, "-c", IN_A_PROCESS, settings.model_dump_json(),
                 json.dumps({key: str(value) for key, value in places.items()})]  # fmt: skip
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, start_new_session=True)
    # Killed once the last phase has a checkpoint and steps beyond it.
    mark = training_fingerprint(settings, places["backbone_dir"], places["groups_dir"])
    workspace = places["checkpoints_dir"] / mark
    deadline = time.monotonic() + 120
    while (reached := last_checkpoint(workspace / "2-revela")) is None or reached.name != "checkpoint-2":
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stderr.close()
    assert not places["models_dir"].exists(), "nothing half-written stands where the models belong"
    interrupted_run = run_of(places, settings)

    train(settings, **places)

    assert curve(places) == curve(undisturbed)
    for folder in ("phases/contrastive", "retriever"):
        resumed, whole = (weights(place["models_dir"] / folder) for place in (places, undisturbed))
        for name in whole:
            # Across processes memory is aligned differently, and with it the last bit of a sum.
            torch.testing.assert_close(resumed[name], whole[name], rtol=0, atol=1e-6)
    run = MlflowClient(tracking_store).get_run(run_of(places, settings))
    assert run.info.run_id == interrupted_run, "the resumed training continues its run"
    assert run.info.status == "FINISHED"


def test_changed_settings_do_not_continue_an_old_training(make_settings, places):
    mark = training_fingerprint(make_settings(), places["backbone_dir"], places["groups_dir"])
    for changed in (
        make_settings(seed=1),
        make_settings(objective={"temperature": 0.2}),
        make_settings({"max_grad_norm": 2.0}),
    ):
        assert training_fingerprint(changed, places["backbone_dir"], places["groups_dir"]) != mark
    assert (
        training_fingerprint(make_settings({"save_every": 7}), places["backbone_dir"], places["groups_dir"])
        == mark
    )


def test_gradient_checkpointing_gives_the_same_curve(trained, make_settings, places):
    train(make_settings({"gradient_checkpointing": True}), **places)
    for plain, checkpointed in zip(curve(trained[1]), curve(places), strict=True):
        assert float(plain["loss"]) == pytest.approx(float(checkpointed["loss"]), rel=1e-4)


def test_a_probe_measures_the_retriever_and_changes_nothing_that_is_learnt(trained, make_settings, places):
    class Count:
        every = 2

        def __init__(self) -> None:
            self.calls = 0

        def __call__(self, encoder: SentenceTransformer) -> float:
            self.calls += 1
            assert encoder.encode_query("text").shape == (32,)
            return self.calls / 10

    probe = Count()
    train(make_settings(), **places, probe=probe)
    measured = {int(row["step"]): row["probe_ndcg_at_10"] for row in curve(places)}
    # Every second step and the last of each phase that trains the retriever: 3 steps, (3 of the LM), 4.
    assert {step: value for step, value in measured.items() if value} == {
        1: "0.1", 2: "0.2", 7: "0.3", 9: "0.4"
    }  # fmt: skip
    assert sha256_tree(places["models_dir"]) == sha256_tree(trained[1]["models_dir"])

"""The stage `train` on tiny models and real groups."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from mlflow import MlflowClient
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer

from revela.errors import RevelaError
from revela.files import sha256_tree
from revela.training.checkpoints import recall_run
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


def curve(report: Path) -> list[dict[str, str]]:
    with (report / "curve.csv").open() as file:
        return list(csv.DictReader(file))


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


@pytest.fixture(scope="module")
def trained(make_settings, new_places, tmp_path_factory):
    settings, places = make_settings(), new_places(tmp_path_factory.mktemp("trained"))
    train(settings, **places)
    return settings, places


def test_every_step_of_every_phase_is_recorded(trained):
    _settings, places = trained
    rows = curve(places["report_dir"])
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
    assert list(summary) == ["contrastive", "adapt", "revela"]
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
    while not list(workspace.glob("2-revela/checkpoint-2/trainer_state.json")):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stderr.close()
    assert not places["models_dir"].exists(), "nothing half-written stands where the models belong"
    interrupted_run = run_of(places, settings)

    train(settings, **places)

    assert curve(places["report_dir"]) == curve(undisturbed["report_dir"])
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


@pytest.mark.parametrize(
    "training",
    [{"lora": None}, {"groups_per_step": 2}],
    ids=["full", "accumulated"],
)
def test_full_training_and_accumulation_run(make_settings, places, training):
    train(make_settings(training), **places)
    rows = curve(places["report_dir"])
    assert len(rows) == 10
    assert float(rows[-1]["grad_norm_retriever"]) > 0


def test_gradient_checkpointing_gives_the_same_curve(trained, make_settings, places):
    train(make_settings({"gradient_checkpointing": True}), **places)
    for plain, checkpointed in zip(curve(trained[1]["report_dir"]), curve(places["report_dir"]), strict=True):
        assert float(plain["loss"]) == pytest.approx(float(checkpointed["loss"]), rel=1e-4)


def test_the_papers_attention_trains_too(make_settings, places):
    train(make_settings(objective={"attention": "paper", "temperature": 1e-4}), **places)
    assert float(curve(places["report_dir"])[-1]["grad_norm_retriever"]) > 0


def test_a_loss_that_is_not_finite_stops_with_step_documents_and_advice(make_settings, places):
    phases = [{"name": "wild", "train": ["retriever"], "terms": {"contrastive": 1.0}, "steps": 40,
               "learning_rate": {"retriever": 1e30}}]  # fmt: skip
    with pytest.raises(RevelaError, match=r"phase 'wild', step \d+: the loss is (nan|inf)") as caught:
        train(make_settings({"phases": phases}), **places)
    assert ".py" in str(caught.value) and "lower learning_rate" in str(caught.value)
    assert not places["models_dir"].exists()


def test_lora_targets_that_the_model_lacks_are_named(make_settings, places):
    with pytest.raises(RevelaError, match=r"training\.lora\.targets \['query_key_value'\] do not fit"):
        train(make_settings({"lora": {"targets": ["query_key_value"]}}), **places)


def test_whitening_comes_first_is_kept_as_a_model_and_is_part_of_the_trained_retriever(
    make_settings, places, backbone_folder
):
    first = make_settings().model_dump()["training"]["phases"][0]
    phases = [{**first, "negatives": "corpus", "contrastive_groups": 2}]
    train(make_settings({"whitening": {"chunks": 12}, "phases": phases}), **places)
    whitened = SentenceTransformer(str(places["models_dir"] / "phases" / "whitened"), device="cpu")
    trained = SentenceTransformer(str(places["models_dir"] / "retriever"), device="cpu")
    assert torch.equal(whitened[2].linear.weight, trained[2].linear.weight)
    untrained = SentenceTransformer(str(backbone_folder / "retriever"), device="cpu")
    vectors = [model.encode_query(["def read(path): ..."]) for model in (untrained, whitened, trained)]
    assert abs(vectors[0] - vectors[1]).max() > 1e-3
    assert abs(vectors[1] - vectors[2]).max() > 1e-3


def test_no_phase_may_have_the_name_of_the_whitened_retriever(make_settings):
    phase = {**make_settings().model_dump()["training"]["phases"][0], "name": "whitened"}
    with pytest.raises(ValueError, match="a phase is named `whitened`"):
        make_settings({"whitening": {}, "phases": [phase]})


def test_a_replug_phase_trains_the_retriever_on_a_frozen_language_model(make_settings, places):
    phase = {
        **make_settings().model_dump()["training"]["phases"][0],
        "name": "replug", "terms": {"replug": 1.0}, "steps": 6,
    }  # fmt: skip
    train(make_settings({"phases": [phase]}), **places)
    rows = list(csv.DictReader((places["report_dir"] / "curve.csv").open()))
    losses = [float(row["replug_loss"]) for row in rows]
    assert len(losses) == 6 and all(0 <= loss < 10 for loss in losses)
    assert all(1 <= float(row["lm_effective_chunks"]) <= 3 for row in rows)


def test_replug_needs_the_retriever_and_groups_of_one_process(make_settings):
    first = make_settings().model_dump()["training"]["phases"][0]
    phase = {**first, "terms": {"replug": 1.0}}
    with pytest.raises(ValueError, match="`replug` scores pairs within one process"):
        make_settings({"phases": [phase], "gather_group": True})
    with pytest.raises(ValueError, match="`replug` trains the retriever alone"):
        make_settings(
            {"phases": [{**phase, "terms": {"replug": 1.0, "revela": 1.0}, "train": ["lm"],
                         "learning_rate": {"lm": 1e-3}}]}
        )  # fmt: skip


def one_phase(make_settings, **fields) -> object:
    phase = {"name": "revela", "train": ["lm"], "terms": {"revela": 1.0}, "steps": 6,
             "learning_rate": {"lm": 1e-2}, **fields}  # fmt: skip
    return make_settings({"phases": [phase], "gain_every": 1})


def test_a_phase_ends_once_it_gains_enough(make_settings, new_places, tmp_path):
    whole, early = (new_places(tmp_path / name) for name in ("whole", "early"))
    train(one_phase(make_settings, until_gain=1e9), **whole)
    train(one_phase(make_settings, until_gain=-1e9), **early)
    assert len(curve(whole["report_dir"])) == 6
    # Three measurements are averaged, and every step is measured here.
    assert [row["step"] for row in curve(early["report_dir"])] == ["0", "1", "2"]


def test_the_temperature_of_a_phase_goes_from_start_to_end(make_settings, new_places, tmp_path):
    read = []
    for temperature in (0.01, 10.0, {"start": 10.0, "end": 0.01}):
        places = new_places(tmp_path / str(len(read)))
        train(one_phase(make_settings, temperature=temperature, learning_rate={"lm": 1e-9}), **places)
        read.append([float(row["effective_chunks"]) for row in curve(places["report_dir"])])
    cold, warm, falling = read
    assert max(cold) < min(warm)
    assert falling[0] == pytest.approx(warm[0], rel=1e-4)
    assert falling[-1] == pytest.approx(cold[-1], rel=1e-4)


def test_the_language_model_can_learn_under_bm25s_weights_alone(make_settings, places):
    train(one_phase(make_settings, weights="bm25"), **places)
    rows = curve(places["report_dir"])
    assert all(float(row["grad_norm_lm"]) > 0 and not row["grad_norm_retriever"] for row in rows)


@pytest.mark.parametrize("views", ["crops", "document"])
def test_contrastive_training_on_other_views(make_settings, places, views):
    phase = {"name": "contrastive", "train": ["retriever"], "terms": {"contrastive": 1.0}, "steps": 2,
             "learning_rate": {"retriever": 1e-2}, "views": views, "negatives": "corpus"}  # fmt: skip
    train(make_settings({"phases": [phase]}), **places)
    assert all(float(row["grad_norm_retriever"]) > 0 for row in curve(places["report_dir"]))


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
    measured = {int(row["step"]): row["probe_ndcg_at_10"] for row in curve(places["report_dir"])}
    # Every second step and the last of each phase that trains the retriever: 3 steps, (3 of the LM), 4.
    assert {step: value for step, value in measured.items() if value} == {
        1: "0.1", 2: "0.2", 7: "0.3", 9: "0.4"
    }  # fmt: skip
    assert sha256_tree(places["models_dir"]) == sha256_tree(trained[1]["models_dir"])


def test_gates_are_trained_with_the_language_model_and_kept(make_settings, places):
    settings = make_settings(objective={"attention": "joint", "temperature": 0.1, "top_k": 2, "gate": True})
    train(settings, **places)
    mark = training_fingerprint(settings, places["backbone_dir"], places["groups_dir"])
    state = load_file(places["checkpoints_dir"] / mark / "2-revela" / "state.safetensors")
    assert state["revela.gates"].abs().sum() > 0

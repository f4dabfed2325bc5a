"""Trainings that keep their best state."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from curves import curve
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer

from revela.evaluation.validation import Validation, validation_of
from revela.files import sha256_tree
from revela.training.pipeline import train

PHASE = {
    "name": "first", "train": ["retriever"], "terms": {"contrastive": 1.0}, "steps": 6, "pairs": 8,
    "learning_rate": {"retriever": 1e-2}, "decay": "constant",
}  # fmt: skip
ADAPT = {
    "name": "adapt",
    "train": ["lm"],
    "terms": {"revela": 1.0},
    "steps": 2,
    "learning_rate": {"lm": 1e-3},
}
BOTH = {
    "name": "both", "train": ["retriever", "lm"], "terms": {"revela": 1.0}, "steps": 3,
    "learning_rate": {"retriever": 1e-2, "lm": 1e-3},
}  # fmt: skip
PHASES = {"phases": [PHASE, ADAPT, BOTH], "validation": {"every": 1, "pairs": 10}}


@pytest.fixture(scope="module")
def keeping(make_settings, new_places, pairs_folder):
    """Settings of a training, and where it reads and writes."""

    def make(folder: Path, training: dict):
        settings = make_settings(training, batches={"group_size": 4, "pairs": {"kinds": "auto"}})
        return settings, new_places(folder) | {"groups_dir": pairs_folder}

    return make


@pytest.fixture
def keep(keeping, tmp_path):
    """Train; where, and what metrics.json says of the state kept."""

    def run(**training):
        settings, places = keeping(tmp_path, training)
        train(settings, **places, validate=validation_of(settings, places["groups_dir"]))
        return places, kept_of(places)

    return run


@pytest.fixture(scope="module")
def undisturbed(keeping, tmp_path_factory, one_thread):
    settings, places = keeping(tmp_path_factory.mktemp("undisturbed"), PHASES)
    train(settings, **places, validate=validation_of(settings, places["groups_dir"]))
    return places


def kept_of(places: dict[str, Path]) -> dict:
    return json.loads((places["report_dir"] / "metrics.json").read_text())["kept"]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def assert_equal(one: Path, other: Path) -> None:
    found, wanted = weights(one), weights(other)
    for name in wanted:
        torch.testing.assert_close(found[name], wanted[name], rtol=0, atol=1e-6)


def test_every_phase_that_trains_the_retriever_is_measured_step_by_step_and_saved(undisturbed):
    kept = kept_of(undisturbed)
    measured = [(one["state"], one["step"]) for one in kept["measured"]]
    assert measured[:-2] == [
        ("start", 0), *(("first", step) for step in range(1, 7)), *(("both", step) for step in range(9, 12))
    ]  # fmt: skip
    assert measured[-2][0].endswith(", 0.5 of the start") and measured[-1] == ("mean of the run", 11)
    best = max(one["validation"] for one in kept["measured"])
    assert kept["validation"] == best or "of the gain of the best" in kept["because"]
    saved = sorted(path.name for path in (undisturbed["models_dir"] / "phases").iterdir())
    assert saved == ["both", "first"]


def test_the_curve_shows_what_was_measured(undisturbed):
    shown = [row["validation_ndcg_at_10"] for row in curve(undisturbed)]
    assert [bool(value) for value in shown] == [True] * 6 + [False] * 2 + [True] * 3
    assert [float(value) for value in shown if value] == pytest.approx(
        [one["validation"] for one in kept_of(undisturbed)["measured"][1:-2]], abs=1e-5
    )


def test_the_start_is_kept_where_training_makes_it_worse(keep):
    wild = {**PHASE, "learning_rate": {"retriever": 3.0}}
    places, kept = keep(phases=[wild], validation={"every": 3, "pairs": 10})
    assert (kept["state"], kept["because"]) == ("start", "no state was better in validation")
    assert all(one["validation"] < kept["start"] for one in kept["measured"][1:])
    average, mean = kept["measured"][3:]
    assert [one["step"] for one in kept["measured"][:3]] == [0, 3, 6]
    assert average["state"] == "first, 0.5 of the start" and average["step"] in (3, 6)
    assert (mean["state"], mean["step"]) == ("mean of the run", 6)
    start = places["backbone_dir"] / "retriever"
    assert_equal(places["models_dir"] / "retriever", start)
    last, first = weights(places["models_dir"] / "phases" / "first"), weights(start)
    assert max((last[name] - first[name]).abs().max() for name in last) > 1


def test_training_that_helps_with_what_it_never_saw_is_kept(keep):
    places, kept = keep(phases=[{**PHASE, "steps": 20}], validation={"every": 10, "pairs": 10})
    assert "the best in validation" in kept["because"]
    assert kept["validation"] > kept["start"] + 0.02
    assert set(kept["scores"]) == {"title", "heading"}
    start = weights(places["backbone_dir"] / "retriever")
    assert any(
        not torch.equal(weight, start[name])
        for name, weight in weights(places["models_dir"] / "retriever").items()
    )


def test_a_finished_training_whose_measurements_are_gone_measures_its_phases_again(
    undisturbed, keeping, tmp_path
):
    settings, places = keeping(tmp_path / "again", PHASES)
    shutil.copytree(undisturbed["checkpoints_dir"], places["checkpoints_dir"])
    (kept,) = places["checkpoints_dir"].glob("*/kept")
    shutil.rmtree(kept)
    train(settings, **places, validate=validation_of(settings, places["groups_dir"]))
    found, wanted = kept_of(places), kept_of(undisturbed)
    assert [one["state"] for one in found["measured"][:3]] == ["start", "first", "both"]
    ends = {one["state"]: one["validation"] for one in wanted["measured"][:-1]}
    for one in found["measured"][:3]:
        assert one["validation"] == pytest.approx(ends[one["state"]], abs=1e-5)


def test_a_phase_that_ends_early_is_measured_where_it_ends(keep):
    early = {**BOTH, "steps": 9, "until_gain": -1e9}
    places, kept = keep(phases=[early], gain_every=1, validation={"every": 2, "pairs": 10, "averages": []})
    assert len(curve(places)) == 3
    assert [one["step"] for one in kept["measured"]] == [0, 2, 3, 3]


def test_the_start_is_the_whitened_retriever_where_there_is_one(keep):
    wild = {**PHASE, "learning_rate": {"retriever": 3.0}}
    places, kept = keep(phases=[wild], whitening={"chunks": 12}, validation={"pairs": 10})
    assert kept["state"] == "start"
    assert sha256_tree(places["models_dir"] / "retriever") == sha256_tree(
        places["models_dir"] / "phases" / "whitened"
    )


def test_the_last_state_may_be_asked_for_and_is_what_it_is_where_states_are_measured(
    keep, undisturbed, one_thread
):
    places, kept = keep(**PHASES, keep="last")
    assert kept == {"state": "last", "because": "training.keep is last"}
    assert [path.name for path in (places["models_dir"] / "phases").iterdir()] == ["first"]
    assert not any(row["validation_ndcg_at_10"] for row in curve(places))
    assert_equal(places["models_dir"] / "retriever", undisturbed["models_dir"] / "phases" / "both")


class KilledError(Exception):
    pass


class Killed(Validation):
    """The held-out pairs, until the process dies while it measures."""

    def __init__(self, *args, calls: int) -> None:
        super().__init__(*args)
        self._left = calls

    def __call__(self, encoder: SentenceTransformer) -> tuple[float, dict[str, float], list[float]]:
        self._left -= 1
        if self._left < 0:
            raise KilledError
        return super().__call__(encoder)


# Every second step is saved, so that the step before the kill, which was measured, is taken again.
@pytest.mark.parametrize("calls", [4, 8, 10], ids=["first phase", "last phase", "average"])
def test_an_interrupted_training_goes_on_to_measure_and_keep_the_same(
    keeping, tmp_path, undisturbed, one_thread, calls
):
    settings, places = keeping(tmp_path, PHASES)
    validation = settings.training.validation
    with pytest.raises(KilledError):
        train(settings, **places, validate=Killed(validation, places["groups_dir"], calls=calls))
    assert not places["models_dir"].exists()
    train(settings, **places, validate=Validation(validation, places["groups_dir"]))
    assert sha256_tree(places["report_dir"]) == sha256_tree(undisturbed["report_dir"])
    for folder in ("retriever", "phases/first", "phases/both"):
        assert_equal(places["models_dir"] / folder, undisturbed["models_dir"] / folder)

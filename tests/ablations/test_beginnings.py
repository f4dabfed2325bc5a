"""What decides a training's beginning, and that one which was taken over ends as if it had not been."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from curves import curve
from safetensors.torch import load_file

from revela.ablations.beginnings import Beginnings, names_of, steps_taken_over, told
from revela.evaluation.validation import validation_of
from revela.settings import Settings
from revela.training.pipeline import train, training_fingerprint

CONTRASTIVE = {
    "name": "contrastive", "train": ["retriever"], "terms": {"contrastive": 1.0}, "steps": 2,
    "learning_rate": {"retriever": 1e-2},
}  # fmt: skip
REVELA = {
    "name": "revela", "train": ["retriever", "lm"], "terms": {"revela": 1.0}, "steps": 2,
    "learning_rate": {"retriever": 1e-2, "lm": 1e-2},
}  # fmt: skip
LONGER = {**CONTRASTIVE, "name": "longer"}


def settings_of(
    phases: list[dict], objective: dict | None = None, seed: int = 0, **training: object
) -> Settings:
    folder = {"kind": "folder", "name": "unused"}
    return Settings.model_validate(
        {
            "seed": seed,
            "backbone": {"retriever": folder, "lm": folder},
            "corpus": {"sources": [{"kind": "folder", "path": "unused"}]},
            "batches": {"group_size": 4, "pairs": {"kinds": "auto"}},
            "objective": objective or {},
            "training": {
                "phases": phases, "lora": {"rank": 4, "alpha": 8}, "precision": "fp32",
                "whitening": {"chunks": 8}, **training,
            },
            "evaluate": {"benchmarks": [{"kind": "docstrings"}]},
        }
    )  # fmt: skip


BASE = settings_of([CONTRASTIVE, REVELA])


@pytest.mark.parametrize(
    ("other", "shared"),
    [
        (settings_of([CONTRASTIVE, REVELA]), 3),
        (settings_of([CONTRASTIVE, LONGER]), 2),
        (settings_of([CONTRASTIVE, REVELA], {"attention": "paper", "temperature": 1.0}), 2),
        (settings_of([CONTRASTIVE, REVELA], {"replug_temperature": 1.0}), 3),
        (settings_of([CONTRASTIVE, REVELA], {"contrastive_temperature": 1.0}), 1),
        (settings_of([CONTRASTIVE, REVELA], {"start_penalty": 0.5}), 1),
        (settings_of([{**CONTRASTIVE, "steps": 3}, REVELA]), 1),
        (settings_of([REVELA]), 1),
        (settings_of([CONTRASTIVE, REVELA], {"gate": True}), 0),
        (settings_of([CONTRASTIVE, REVELA], seed=1), 0),
        (settings_of([CONTRASTIVE, REVELA], whitening={"chunks": 9}), 0),
        (settings_of([CONTRASTIVE, REVELA], lora={"rank": 8, "alpha": 8}), 0),
    ],
    ids=[
        "equal", "another second phase", "revela's objective", "an objective of no phase",
        "contrastive's objective", "an objective of all terms",
        "another first phase", "whitening alone", "gates are weights",
        "seed", "whitening", "adapters",
    ],
)  # fmt: skip
def test_trainings_share_what_all_that_decides_it_is_equal_for(other, shared, backbone_folder, groups_folder):
    names, others = (names_of(one, backbone_folder, groups_folder) for one in (BASE, other))
    assert len(set(names)) == 3, "whitened, and after each phase"
    assert [name in others for name in names] == [index < shared for index in range(3)]


@pytest.fixture
def trained(tmp_path, backbone_folder, groups_folder, monkeypatch):
    """Train settings in a folder of their own, after taking from a store what is there; then give."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")

    def run(name: str, settings: Settings, store: Path | None) -> Path:
        workspace = tmp_path / name / training_fingerprint(settings, backbone_folder, groups_folder)
        beginnings = Beginnings(store or tmp_path / f"{name}-none", settings, backbone_folder, groups_folder)
        beginnings.take(workspace)
        train(
            settings, backbone_dir=backbone_folder, groups_dir=groups_folder,
            models_dir=tmp_path / name / "models", report_dir=tmp_path / name / "report",
            checkpoints_dir=tmp_path / name, validate=validation_of(settings, groups_folder),
        )  # fmt: skip
        beginnings.give(workspace)
        return workspace

    return run


def test_a_training_that_takes_over_its_beginning_is_the_one_it_would_have_been(trained, tmp_path):
    store = tmp_path / "store"
    first = trained("first", settings_of([CONTRASTIVE, LONGER]), store)
    wanted = trained("alone", BASE, None)
    found = trained("second", BASE, store)
    assert steps_taken_over(first) == steps_taken_over(wanted) == 0
    assert steps_taken_over(found) == 2
    same = "0-contrastive/state.safetensors"
    assert (found / same).samefile(first / same), "linked, not trained again"
    curves = [curve({"report_dir": workspace.parent / "report"}) for workspace in (found, wanted)]
    assert curves[0] == curves[1]
    models = [load_file(one.parent / "models/retriever/model.safetensors") for one in (found, wanted)]
    assert all(models[0][name].equal(models[1][name]) for name in models[1])
    assert (found.parent / "models/phases/contrastive").is_dir()
    told(found)
    assert steps_taken_over(found) == 0


def test_what_an_interrupted_phase_left_is_not_given(trained, tmp_path, backbone_folder, groups_folder):
    store = tmp_path / "store"
    workspace = trained("first", BASE, None)
    (workspace / "1-revela" / "state.safetensors").unlink()
    Beginnings(store, BASE, backbone_folder, groups_folder).give(workspace)
    whitened, contrastive, _ = names_of(BASE, backbone_folder, groups_folder)
    assert {path.name for path in store.iterdir()} == {whitened, contrastive}


def test_what_was_measured_on_the_way_goes_with_the_phases(trained, tmp_path):
    """The one that takes over keeps what it would have kept, of the start as of the phases taken over."""
    watched = {"validation": {"benchmark": {"kind": "classes", "limit": 30}, "every": 1}, "save_every": 1}
    watched |= {"split_identifiers": "auto", "whitening": None}
    store = tmp_path / "store"
    trained("first", settings_of([CONTRASTIVE, LONGER], **watched), store)
    wanted = trained("alone", settings_of([CONTRASTIVE, REVELA], **watched), None)
    found = trained("second", settings_of([CONTRASTIVE, REVELA], **watched), store)
    assert steps_taken_over(found) == 2
    kept, of_alone = (
        json.loads((one.parent / "report/metrics.json").read_text())["kept"] for one in (found, wanted)
    )
    assert [one["state"] for one in kept["measured"][:5]] == ["start", *["contrastive"] * 2, *["revela"] * 2]
    assert kept == of_alone
    models = [load_file(one.parent / "models/retriever/model.safetensors") for one in (found, wanted)]
    assert all(models[0][name].equal(models[1][name]) for name in models[1])


def test_phases_that_a_small_corpus_shortens_differ_where_later_ones_do(backbone_folder, pairs_folder):
    """`max_passes` takes steps off all phases in proportion."""
    pairs = {**CONTRASTIVE, "pairs": 8, "steps": 40}

    def names(*phases: dict, **training: object) -> list[str]:
        settings = settings_of(list(phases), **training)
        return Beginnings(Path("unused"), settings, backbone_folder, pairs_folder)._names

    longer = {**pairs, "name": "longer"}
    assert names(pairs)[1] == names(pairs, longer)[1]
    assert names(pairs, max_passes=1)[1] != names(pairs, longer, max_passes=1)[1]


def test_groups_over_several_processes_share_nothing(tmp_path, trained, backbone_folder, groups_folder):
    store = tmp_path / "store"
    trained("first", settings_of([CONTRASTIVE], gather_group=True), store)
    assert not store.exists()

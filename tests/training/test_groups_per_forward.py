"""`groups_per_forward` and `loader_workers` change how fast a training is, and not what it learns."""

from __future__ import annotations

import pytest
from curves import assert_same_training, curve

from revela.errors import RevelaError
from revela.training.pipeline import train, training_fingerprint

pytestmark = pytest.mark.usefixtures("one_thread")

# Low rates: Adam makes whole steps of gradients that are nothing but rounding.
PHASES = [
    {"name": "contrastive", "train": ["retriever"], "terms": {"contrastive": 1.0}, "steps": 2,
     "learning_rate": {"retriever": 1e-3}, "warmup_steps": 1},
    {"name": "revela", "train": ["retriever", "lm"], "terms": {"revela": 1.0, "contrastive": 0.5}, "steps": 3,
     "learning_rate": {"retriever": 1e-3, "lm": 1e-3}, "decay": "cosine"},
]  # fmt: skip
STEP = [PHASES[1] | {"negatives": "step"}]


@pytest.fixture(scope="module")
def settings_of(make_settings):
    def make(phases: list[dict], **training: object):
        return make_settings({"phases": phases, "groups_per_step": 4, "gain_every": 2, **training})

    return make


@pytest.fixture(scope="module")
def one_at_a_time(settings_of, new_places, tmp_path_factory):
    """A training that takes its groups one after the other."""
    places = new_places(tmp_path_factory.mktemp("one"))
    train(settings_of(PHASES, groups_per_forward=1), **places)
    return places


@pytest.mark.parametrize("together", [2, 4])
def test_the_curve_and_the_retriever_do_not_depend_on_it(one_at_a_time, settings_of, places, together):
    train(settings_of(PHASES, groups_per_forward=together), **places)
    assert len(curve(places)) == 5
    assert_same_training(places, one_at_a_time, 1e-5)


def test_workers_that_tokenise_meanwhile_give_the_curve_of_none(one_at_a_time, settings_of, places):
    train(settings_of(PHASES, groups_per_forward=1, loader_workers=1), **places)
    assert_same_training(places, one_at_a_time, 0.0)


def test_a_training_is_continued_with_another_number_and_other_workers(settings_of, places):
    marks = {
        training_fingerprint(settings_of(PHASES, **changes), places["backbone_dir"], places["groups_dir"])
        for changes in ({}, {"groups_per_forward": 2}, {"groups_per_forward": 1, "loader_workers": 1})
    }
    assert len(marks) == 1


def test_a_number_that_does_not_divide_those_of_a_step_is_refused_before_training(settings_of, places):
    with pytest.raises(
        RevelaError,
        match=r"(?s)training\.groups_per_forward is 3, which does not divide the 4 groups.*one of 1, 2, 4",
    ):
        train(settings_of(PHASES, groups_per_forward=3), **places)
    assert not places["models_dir"].exists()
    assert not list(places["checkpoints_dir"].glob("*/*/checkpoint-*"))


@pytest.fixture(scope="module")
def whole_steps(settings_of, new_places, tmp_path_factory):
    """A training whose steps contrast all their chunks, all groups in one forward."""
    places = new_places(tmp_path_factory.mktemp("steps"))
    train(settings_of(STEP, groups_per_forward=4), **places)
    return places


@pytest.mark.parametrize(
    "changes",
    [
        {"groups_per_forward": 1},
        {"groups_per_forward": 2},
        {"groups_per_forward": 2, "retriever_mini_batch": 3},
        {"groups_per_forward": 2, "gradient_checkpointing": True},
    ],
    ids=lambda changes: "-".join(map(str, changes.values())),
)
def test_chunks_of_a_step_are_contrasted_alike_whatever_is_in_memory_at_once(
    whole_steps, settings_of, places, changes
):
    train(settings_of(STEP, **changes), **places)
    assert_same_training(places, whole_steps, 1e-5)


def test_a_whole_step_contrasts_all_its_chunks_beside_the_term_revela(
    whole_steps, settings_of, new_places, tmp_path
):
    for row in curve(whole_steps):
        wanted = float(row["conditioned_loss"]) + 0.5 * float(row["contrastive_loss"])
        assert float(row["loss"]) == pytest.approx(wanted, rel=1e-5)
    groups = new_places(tmp_path)
    train(settings_of([PHASES[1]], groups_per_forward=4), **groups)
    first, other = curve(whole_steps)[0], curve(groups)[0]
    assert first["conditioned_loss"] == other["conditioned_loss"]
    # Sixteen passages to tell apart instead of four.
    assert float(first["contrastive_loss"]) > float(other["contrastive_loss"]) + 0.5


def test_a_loss_of_a_whole_step_that_is_not_finite_stops_the_training(settings_of, places):
    phase = {**STEP[0], "name": "wild", "steps": 40, "learning_rate": {"retriever": 1e30, "lm": 1e-3}}
    with pytest.raises(RevelaError, match=r"(?s)phase 'wild', step \d+: the loss is (nan|inf).*\.py"):
        train(settings_of([phase], groups_per_forward=2), **places)

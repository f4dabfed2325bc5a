"""Retriever and language model as one: what trains, and on which loss."""

from __future__ import annotations

import pytest
import torch
from collating import BOTH, phase, whole

from revela.errors import RevelaError
from revela.groups.reading import Groups
from revela.modeling.retriever import Retriever
from revela.training.collator import GroupCollator
from revela.training.model import JointModel


@pytest.fixture
def joint(backbone_folder, make_settings) -> JointModel:
    settings = make_settings()
    torch.manual_seed(0)
    return JointModel(backbone_folder, settings.training, settings.objective, torch.float32)


@pytest.fixture
def batch(backbone_folder, groups_folder, tokenizer) -> dict:
    collate = GroupCollator(Retriever(backbone_folder / "retriever"), tokenizer, 64, BOTH)
    inputs = collate([whole(Groups(groups_folder)[0])])
    del inputs["documents"], inputs["figures"]
    return inputs


def test_with_given_weights_the_language_model_learns_and_the_retriever_is_not_run(
    joint, backbone_folder, groups_folder, tokenizer
):
    settings = phase(["lm"], revela=1.0, changes={"weights": "bm25"})
    joint.enter(settings)
    inputs = GroupCollator(joint.retriever, tokenizer, 64, settings)([whole(Groups(groups_folder)[0])])
    del inputs["documents"], inputs["figures"]
    joint.retriever.forward = None  # would fail if called
    joint(**inputs)["loss"].backward()
    assert all(weight.grad is not None for weight in joint.parameters_of("lm"))


@pytest.mark.parametrize("train", [["retriever"], ["lm"], ["retriever", "lm"]], ids="+".join)
def test_a_phase_gives_gradients_to_the_models_it_names_and_no_other(joint, batch, train):
    joint.enter(phase(train, revela=1.0))
    joint(**{key: batch[key] for key in ("query", "passage", "lm")})["loss"].backward()
    got = {
        part
        for part in ("retriever", "lm")
        if any(w.grad is not None and w.grad.abs().sum() > 0 for w in getattr(joint, part).parameters())
    }
    assert got == set(train)


def test_the_total_is_the_weighted_sum_of_the_terms(joint, batch):
    joint.enter(phase(["retriever", "lm"], revela=0.25, contrastive=2.0))
    found = joint(**batch)
    wanted = 0.25 * found["conditioned_loss"] + 2.0 * found["contrastive_loss"]
    assert found["loss"].item() == pytest.approx(wanted.item(), rel=1e-6)


def test_only_adapters_train_and_they_can_be_put_back(joint, batch):
    assert all("lora" in name for name in joint.trained_state())
    before = {name: weight.clone() for name, weight in joint.trained_state().items()}
    with torch.no_grad():
        for weight in joint.parameters():
            if weight.requires_grad:
                weight.add_(1.0)
    joint.load_trained_state(before)
    for name, weight in joint.trained_state().items():
        torch.testing.assert_close(weight, before[name])
    with pytest.raises(RevelaError, match="belongs to another model"):
        joint.load_trained_state({"another": torch.zeros(1)})


def test_a_model_without_adapters_trains_whole_and_the_other_by_its_adapters(backbone_folder, make_settings):
    by_model = {"retriever": {"rank": 2, "alpha": 4}, "lm": None}
    settings = make_settings({"lora": by_model, "gradient_checkpointing": True})
    joint = JointModel(backbone_folder, settings.training, settings.objective, torch.bfloat16)
    trained = joint.trained_state()
    of_retriever = {name for name in trained if name.startswith("retriever.")}
    assert of_retriever and all("lora" in name for name in of_retriever)
    assert {name for name in trained if name.startswith("lm.")} == {
        f"lm.{name}" for name, _ in joint.lm.named_parameters()
    }
    # Whatever trains is kept in float32; what is frozen under adapters in the precision computed in.
    assert {weight.dtype for weight in trained.values()} == {torch.float32}
    frozen = {weight.dtype for weight in joint.retriever.parameters() if not weight.requires_grad}
    assert frozen == {torch.bfloat16}


def test_both_give_gradients_to_all_that_they_train(backbone_folder, make_settings, batch):
    settings = make_settings({"lora": {"retriever": {"rank": 2}, "lm": None}})
    torch.manual_seed(0)
    joint = JointModel(backbone_folder, settings.training, settings.objective, torch.float32)
    joint.enter(BOTH)
    joint(**batch)["loss"].backward()
    for part in ("retriever", "lm"):
        assert all(weight.grad is not None for weight in joint.parameters_of(part))

"""`objective.start_penalty`: what was learnt before stays near."""

from __future__ import annotations

import pytest
import torch
from collating import phase, whole
from pydantic import ValidationError

from revela.groups.reading import Groups
from revela.training.collator import GroupCollator
from revela.training.model import JointModel

PENALTY = 0.5
CONTRASTIVE = phase(["retriever"], contrastive=1.0)


@pytest.fixture(params=["adapters", "all weights"])
def joint(request, backbone_folder, make_settings) -> JointModel:
    lora = {"rank": 4, "alpha": 8} if request.param == "adapters" else None
    settings = make_settings({"lora": lora}, objective={"start_penalty": PENALTY})
    torch.manual_seed(0)
    model = JointModel(backbone_folder, settings.training, settings.objective, torch.float32)
    model.enter(CONTRASTIVE)
    return model


@pytest.fixture
def inputs(joint, groups_folder, tokenizer) -> dict:
    batch = GroupCollator(joint.retriever, tokenizer, 64, CONTRASTIVE)([whole(Groups(groups_folder)[0])])
    return {key: batch[key] for key in ("query", "rest", "sizes")}


def stir(model: JointModel) -> None:
    with torch.no_grad():
        for value in model.trained_state().values():
            value.add_(torch.randn_like(value), alpha=0.2)


def test_at_the_start_nothing_has_moved_and_nothing_is_added(joint, inputs):
    found = joint(**inputs)
    assert found["start_distance"].item() == pytest.approx(0, abs=1e-6)
    assert found["loss"].item() == pytest.approx(found["contrastive_loss"].item(), abs=1e-5)


def test_the_mean_of_1_minus_the_cosines_to_the_first_embeddings_is_added(joint, inputs):
    first = joint.embed({name: inputs[name] for name in ("query", "rest")})
    stir(joint)
    found = joint(**inputs)
    now = joint.embed({name: inputs[name] for name in ("query", "rest")})
    moved = torch.cat([1 - (now[name] * first[name]).sum(dim=1) for name in now]).mean()
    assert moved.item() > 1e-3
    assert found["start_distance"].item() == pytest.approx(moved.item(), rel=1e-5)
    wanted = found["contrastive_loss"].item() + PENALTY * moved.item()
    assert found["loss"].item() == pytest.approx(wanted, rel=1e-5)


def test_it_is_learnt_from_and_the_start_itself_never_changes(joint, inputs):
    stir(joint)
    distances = []
    optimizer = torch.optim.SGD(joint.parameters_of("retriever"), lr=0.5)
    joint.terms = {"contrastive": 1e-9}
    for _ in range(5):
        found = joint(**inputs)
        distances.append(found["start_distance"].item())
        optimizer.zero_grad()
        found["loss"].backward()
        optimizer.step()
    assert distances[-1] < distances[0]
    assert not any("_start" in name for name, _ in joint.named_parameters())


def test_where_the_retriever_is_still_there_is_no_distance(joint, inputs):
    joint.enter(phase(["lm"], revela=1.0))
    embedded = joint.embed({"query": inputs["query"]})
    assert joint.start_distance({"query": inputs["query"]}, embedded) is None


def test_what_it_was_not_made_for_is_refused(make_settings):
    with pytest.raises(ValidationError, match="start_penalty has not been made to work"):
        make_settings({"parallel": "fsdp"}, objective={"start_penalty": 0.1})

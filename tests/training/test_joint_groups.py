"""The joint model on several groups: the mean of what it says of each, in every kind of phase."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from joint_models import assert_same_gradients, stirred_model, take_gradients
from torch import Tensor

from revela.groups.reading import Groups
from revela.settings import Phase
from revela.training.collator import GroupCollator
from revela.training.group_slice import StepChunks
from revela.training.model import JointModel

TRAINS_BOTH = {"train": ["retriever", "lm"], "learning_rate": {"retriever": 1e-3, "lm": 1e-3}}
TRAINS_RETRIEVER = {"train": ["retriever"], "learning_rate": {"retriever": 1e-3}}
PHASES = {
    "revela": {**TRAINS_BOTH, "terms": {"revela": 1.0}},
    "revela of parts": {**TRAINS_BOTH, "terms": {"revela": 1.0}, "rows": "parts"},
    "revela, LM frozen": {**TRAINS_RETRIEVER, "terms": {"revela": 1.0}},
    "revela of bm25": {
        "train": ["lm"], "learning_rate": {"lm": 1e-3}, "terms": {"revela": 1.0}, "weights": "bm25",
    },
    "bm25 of parts": {
        "train": ["lm"], "learning_rate": {"lm": 1e-3}, "terms": {"revela": 1.0}, "weights": "bm25",
        "rows": "parts",
    },
    "contrastive": {**TRAINS_RETRIEVER, "terms": {"contrastive": 1.0}},
    "both": {**TRAINS_BOTH, "terms": {"revela": 0.7, "contrastive": 0.5}},
    "both of parts": {**TRAINS_BOTH, "terms": {"revela": 0.7, "contrastive": 0.5}, "rows": "parts"},
    "both, of crops": {**TRAINS_BOTH, "terms": {"revela": 0.7, "contrastive": 0.5}, "views": "crops"},
    "replug": {**TRAINS_RETRIEVER, "terms": {"replug": 1.0, "contrastive": 0.5}},
    "document": {
        **TRAINS_RETRIEVER, "terms": {"contrastive": 1.0}, "views": "document", "negatives": "corpus",
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def model(backbone_folder, make_settings) -> JointModel:
    return stirred_model(backbone_folder, make_settings())


@pytest.fixture(scope="module")
def steps(groups_folder):
    """What three forwards see: whole groups, or as many chunks of each as have a partner."""
    groups = Groups(groups_folder)
    whole = [StepChunks(list(groups[number]), [], 0) for number in (0, 3, 5)]

    def of(phase: Phase) -> list[StepChunks]:
        if phase.views != "document":
            return whole
        return [
            StepChunks(step.chunks[:count], step.chunks[1 : count + 1], 0)
            for step, count in zip(whole, (3, 2, 3), strict=True)
        ]

    return of


def run(model: JointModel, batch: dict[str, Any], share: float, measured: bool) -> dict[str, Tensor]:
    given = {key: value for key, value in batch.items() if key not in ("documents", "figures")}
    found = model(**given, measure_gain=measured)
    (share * found["loss"]).backward()
    return {key: value.detach() for key, value in found.items()}


@pytest.mark.parametrize("measured", [False, True], ids=["loss", "gain"])
@pytest.mark.parametrize("name", PHASES)
def test_several_groups_give_the_mean_of_their_losses_figures_and_gradients(
    model, steps, tokenizer, name, measured
):
    phase = Phase(name="x", steps=1, **PHASES[name])
    model.enter(phase)
    collate = GroupCollator(model.retriever, tokenizer, 64, phase)
    chosen = steps(phase)
    single = [run(model, collate([step]), 1 / len(chosen), measured) for step in chosen]
    wanted = take_gradients(model)
    batch = collate(chosen)
    assert batch["sizes"] == [len(step.chunks) for step in chosen]
    found = run(model, batch, 1.0, measured)
    assert found.keys() == single[0].keys()
    for key in found:
        mean = torch.stack([one[key] for one in single]).mean()
        torch.testing.assert_close(found[key], mean, rtol=1e-5, atol=1e-6, msg=key)
    assert_same_gradients(take_gradients(model), wanted)
    trained = {name for part in phase.train for name, _ in getattr(model, part).named_parameters(prefix=part)}
    assert wanted.keys() <= trained and wanted


def test_without_sizes_a_batch_is_one_group(model, steps, tokenizer):
    phase = Phase(name="x", steps=1, **PHASES["both"])
    model.enter(phase)
    batch = GroupCollator(model.retriever, tokenizer, 64, phase)(steps(phase)[:1])
    assert batch["sizes"] == [4]
    wanted = run(model, batch, 1.0, False)
    del batch["sizes"]
    assert run(model, batch, 1.0, False)["loss"] == wanted["loss"]
    model.zero_grad()

"""A step taken in pieces equals one forward in which all its chunks are contrasted at once."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from joint_models import assert_same_gradients, stirred_model, take_gradients
from torch import Tensor

from revela.groups.reading import Groups
from revela.settings import Phase
from revela.training.collator import GroupCollator
from revela.training.group_slice import StepChunks
from revela.training.model import JointModel
from revela.training.whole_step import run_whole_step

GROUPS, SIZE = 4, 4
TRAINS_BOTH = {"train": ["retriever", "lm"], "learning_rate": {"retriever": 1e-3, "lm": 1e-3}}
BESIDE = {**TRAINS_BOTH, "terms": {"contrastive": 0.5, "revela": 0.7}}
PHASES = {
    "contrastive": {
        "train": ["retriever"], "learning_rate": {"retriever": 1e-3}, "terms": {"contrastive": 0.5},
    },
    "crops": {
        "train": ["retriever"], "learning_rate": {"retriever": 1e-3}, "terms": {"contrastive": 0.5},
        "views": "crops",
    },
    "revela beside": BESIDE,
    "revela of parts beside": {**BESIDE, "rows": "parts"},
    "revela beside crops": {**BESIDE, "views": "crops"},
    "revela of bm25 beside": {**BESIDE, "weights": "bm25"},
    "LM frozen": {
        "train": ["retriever"], "learning_rate": {"retriever": 1e-3},
        "terms": {"contrastive": 0.5, "revela": 0.7},
    },
    "retriever frozen": {
        "train": ["lm"], "learning_rate": {"lm": 1e-3}, "terms": {"contrastive": 0.5, "revela": 0.7},
    },
}  # fmt: skip


@pytest.fixture(scope="module", params=[None, 3], ids=["whole", "mini-batches"])
def model(request, backbone_folder, make_settings) -> JointModel:
    return stirred_model(backbone_folder, make_settings({"retriever_mini_batch": request.param}))


@pytest.fixture
def batch(model, groups_folder, tokenizer):
    groups = Groups(groups_folder)

    def of(phase: Phase) -> dict[str, Any]:
        collate = GroupCollator(model.retriever, tokenizer, 64, phase)
        return collate([StepChunks(list(groups[number]), [], 0) for number in range(GROUPS)])

    return of


def one_forward(model: JointModel, batch: dict[str, Any], phase: Phase) -> dict[str, Tensor]:
    """The step written out: every text embedded with its padding, each group read by itself."""

    def embedded(name: str) -> Tensor:
        return model.retriever(batch[name]["input_ids"], batch[name]["attention_mask"])

    queries, rests = embedded("view" if "view" in batch else "query"), embedded("rest")
    logits = queries @ rests.T / 0.05
    contrastive = F.cross_entropy(logits, torch.arange(GROUPS * SIZE))
    loss, figures = 0.5 * contrastive, {"contrastive_loss": contrastive}
    if "revela" in phase.terms:
        if phase.weights == "bm25":
            similarities = list(batch["given"])
        elif phase.rows == "parts":
            rows = torch.stack([queries, rests], dim=1).view(GROUPS, 2 * SIZE, -1)
            similarities = [row @ row.T for row in rows]
        else:
            asked, read = (rows.view(GROUPS, SIZE, -1) for rows in (embedded("query"), embedded("passage")))
            similarities = [query @ passage.T for query, passage in zip(asked, read, strict=True)]
        pieces = (batch["lm"][key].chunk(GROUPS) for key in ("input_ids", "attention_mask", "labels"))
        losses = [
            model.revela(model.causal_lm, *piece, None, None, given=given)["loss"]
            for *piece, given in zip(*pieces, similarities, strict=True)
        ]
        conditioned = torch.stack(losses).mean()
        loss, figures = loss + 0.7 * conditioned, figures | {"conditioned_loss": conditioned}
    loss.backward()
    return {"loss": loss, **figures}


@pytest.mark.parametrize("at_once", [1, 2, 4])
@pytest.mark.parametrize("name", PHASES)
def test_pieces_equal_one_forward_of_the_whole_step(model, batch, name, at_once):
    phase = Phase(name="x", steps=1, negatives="step", **PHASES[name])
    model.enter(phase)
    inputs = batch(phase)
    wanted = one_forward(model, inputs, phase)
    wanted_gradients = take_gradients(model)
    contrasted, *predicted = run_whole_step(model, inputs, at_once, lambda loss: loss.backward())
    found_gradients = take_gradients(model)

    assert len(predicted) == (GROUPS // at_once if "revela" in phase.terms else 0)
    loss = contrasted["loss"].detach()
    if predicted:
        loss = loss + torch.stack([piece["loss"].detach() for piece in predicted]).mean()
        conditioned = torch.stack([piece["conditioned_loss"] for piece in predicted]).mean()
        torch.testing.assert_close(conditioned, wanted["conditioned_loss"].detach(), rtol=1e-5, atol=0)
    torch.testing.assert_close(loss, wanted["loss"].detach(), rtol=1e-5, atol=0)
    torch.testing.assert_close(
        contrasted["contrastive_loss"], wanted["contrastive_loss"].detach(), rtol=1e-5, atol=1e-6
    )
    assert_same_gradients(found_gradients, wanted_gradients)


def test_the_language_model_holds_some_groups_at_a_time(model, batch):
    phase = Phase(name="x", steps=1, negatives="step", **BESIDE)
    model.enter(phase)
    inputs = batch(phase)
    seen = []
    handle = model.causal_lm.get_input_embeddings().register_forward_pre_hook(
        lambda _, given: seen.append(given[0].numel())
    )
    run_whole_step(model, inputs, 2, lambda loss: loss.backward())
    handle.remove()
    model.zero_grad()
    lengths = inputs["lm"]["lengths"]
    assert len(seen) == 2
    # Plain streams of the chunks that are read, and all conditioned ones.
    for tokens, own in zip(seen, (lengths[: 2 * SIZE], lengths[2 * SIZE :]), strict=True):
        assert sum(own) < tokens <= 2 * sum(own)


def test_options_reach_the_term_revela(model, batch):
    phase = Phase(name="x", steps=1, negatives="step", **BESIDE)
    model.enter(phase)
    found = run_whole_step(
        model, batch(phase), 2, lambda loss: loss.backward(), measure_gain=True, temperature=10.0
    )
    model.zero_grad()
    assert all("gain" in piece for piece in found[1:])
    # So warm that every chunk reads the three others alike.
    assert all(float(piece["effective_chunks"]) > 2.9 for piece in found[1:])


def length(gradients: list[Tensor]) -> Tensor:
    """Of all of them as one vector."""
    return torch.cat([gradient.flatten() for gradient in gradients]).norm()


def test_a_terms_weight_is_a_share_of_the_gradient_where_gradients_are_weighed(model, batch):
    phase = Phase(name="x", steps=1, negatives="step", weigh="gradients", rows="parts", **BESIDE)
    model.enter(phase)
    inputs = batch(phase)
    texts = [
        model.retriever(inputs[name]["input_ids"], inputs[name]["attention_mask"])
        for name in ("query", "rest")
    ]
    queries, rests = texts
    contrastive = 0.5 * F.cross_entropy(queries @ rests.T / 0.05, torch.arange(GROUPS * SIZE))
    rows = torch.stack([queries, rests], dim=1).view(GROUPS, 2 * SIZE, -1)
    pieces = (inputs["lm"][key].chunk(GROUPS) for key in ("input_ids", "attention_mask", "labels"))
    losses = [
        model.revela(model.causal_lm, *piece, None, None, given=row @ row.T)["loss"]
        for *piece, row in zip(*pieces, rows, strict=True)
    ]
    revela = 0.7 * torch.stack(losses).mean()
    lengths = [
        length(list(torch.autograd.grad(loss, texts, retain_graph=True))) for loss in (contrastive, revela)
    ]
    retriever, lm = ([*model.parameters_of(part)] for part in ("retriever", "lm"))
    stretched = contrastive + revela * (0.7 / 0.5) * lengths[0] / lengths[1]
    wanted = torch.autograd.grad(stretched, retriever, retain_graph=True)
    wanted_of_lm = torch.autograd.grad(revela, lm)

    found, *_ = run_whole_step(model, inputs, 2, lambda loss: loss.backward(), weigh_gradients=True)
    found_gradients = take_gradients(model)

    torch.testing.assert_close(found["gradient_contrastive"], lengths[0], rtol=1e-4, atol=0)
    torch.testing.assert_close(found["gradient_revela"], lengths[1], rtol=1e-4, atol=0)
    names = {id(weight): name for name, weight in model.named_parameters()}
    weights = [*zip(retriever, wanted, strict=True), *zip(lm, wanted_of_lm, strict=True)]
    assert_same_gradients(found_gradients, {names[id(weight)]: gradient for weight, gradient in weights})


def test_a_gradient_that_is_nothing_is_not_stretched(model, batch):
    """As where the language model's weights do not come from the retriever."""
    phase = Phase(name="x", steps=1, negatives="step", weigh="gradients", rows="parts", **BESIDE)
    model.enter(phase)
    inputs = batch(phase) | {"given": torch.full((GROUPS, 2 * SIZE, 2 * SIZE), 0.5)}
    found, *_ = run_whole_step(model, inputs, 2, lambda loss: loss.backward(), weigh_gradients=True)
    gradients = take_gradients(model)
    assert float(found["gradient_revela"]) == 0.0
    assert all(torch.isfinite(gradient).all() for gradient in gradients.values())
    assert any(bool(gradients[name].any()) for name in gradients if name.startswith("retriever"))

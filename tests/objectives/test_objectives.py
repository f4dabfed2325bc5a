"""The losses, with embeddings that can be checked by eye."""

from __future__ import annotations

import math

import pytest
import torch
from transformers import LlamaConfig

from revela.modeling import conditioned_loss, load_lm
from revela.objectives import ContrastiveObjective, RevelaObjective
from revela.objectives.similarity import cosines
from revela.settings import ObjectiveSettings

AXES = torch.eye(4)


def test_info_nce_of_orthogonal_pairs_is_what_the_formula_says():
    found = ContrastiveObjective(temperature=0.5)(AXES, AXES)
    assert found["loss"].item() == pytest.approx(math.log(1 + 3 * math.exp(-2.0)), abs=1e-6)
    assert found["contrastive_accuracy"].item() == 1.0


def test_info_nce_of_embeddings_that_say_nothing_is_log_b():
    found = ContrastiveObjective()(AXES[:1].expand(4, 4), AXES[:1].expand(4, 4))
    assert found["loss"].item() == pytest.approx(math.log(4), abs=1e-6)


def test_similarities_are_float32_under_autocast_since_bfloat16_would_decide_who_reads_whom():
    unit = torch.nn.functional.normalize(
        torch.randn(3, 64, generator=torch.Generator().manual_seed(0)), dim=1
    )
    with torch.autocast("cpu", torch.bfloat16):
        found = cosines(unit, unit)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, (unit.double() @ unit.double().T).float())


@pytest.mark.parametrize("attention", ["paper", "joint"])
def test_autocast_does_not_change_the_weights(attention):
    torch.manual_seed(0)
    lm = load_lm(
        LlamaConfig(
            vocab_size=61, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4
        )
    )
    ids = torch.randint(3, 61, (5, 9))
    unit = torch.nn.functional.normalize(torch.randn(2, 5, 64) * 0.1 + 1, dim=-1)
    objective = RevelaObjective(ObjectiveSettings(attention=attention, temperature=1e-3))
    exact = objective(lm, ids, torch.ones_like(ids), ids, *unit)["effective_chunks"]
    with torch.autocast("cpu", torch.bfloat16):
        found = objective(lm, ids, torch.ones_like(ids), ids, *unit)["effective_chunks"]
    assert found.item() == pytest.approx(exact.item(), rel=1e-5)


def test_a_wrong_neighbour_costs_accuracy():
    found = ContrastiveObjective()(AXES, AXES[[1, 0, 2, 3]])
    assert found["contrastive_accuracy"].item() == 0.5


@pytest.fixture
def small():
    """A language model, a group of 4 chunks and its embeddings."""
    torch.manual_seed(0)
    lm = load_lm(
        LlamaConfig(
            vocab_size=61, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, initializer_range=0.3,
        )
    )  # fmt: skip
    ids = torch.randint(3, 61, (4, 9))
    unit = torch.nn.functional.normalize(torch.randn(2, 4, 8), dim=-1)
    return lm, (lm, ids, torch.ones_like(ids), ids, *unit)


@pytest.mark.parametrize(
    "settings",
    [{"attention": "joint", "top_k": 2}, {"attention": "paper", "v_norm": False, "top_k": 2}],
    ids=["joint", "paper"],
)
def test_revela_is_the_conditioned_loss_under_the_similarities_of_the_embeddings(small, settings):
    *chunks, queries, passages = small[1]
    queries.requires_grad_()
    passages.requires_grad_()
    objective = RevelaObjective(ObjectiveSettings(temperature=0.1, **settings))

    found = objective(*chunks, queries, passages, measure_gain=True)
    unwatched = objective(*chunks, queries, passages)
    found["loss"].backward()

    # Only joint attention reads the top k; the paper's form reads all whose weight counts.
    top_k = 2 if settings["attention"] == "joint" else None
    wanted = conditioned_loss(
        *chunks, (queries @ passages.T).detach(), temperature=0.1, attention=settings["attention"],
        v_norm=settings.get("v_norm", True), min_weight=1e-6, top_k=top_k, return_plain_loss=True,
    )  # fmt: skip
    assert found["loss"].item() == pytest.approx(wanted.loss.item(), abs=1e-6)
    assert found["gain"].item() == pytest.approx((wanted.plain_loss - wanted.loss).item(), abs=1e-6)
    assert unwatched["loss"].item() == pytest.approx(found["loss"].item(), abs=1e-6)
    assert "gain" not in unwatched
    assert found["pairs_per_chunk"].item() == wanted.pairs.sum() / 4
    assert found["skipped_weight"].item() == pytest.approx(wanted.weights[~wanted.pairs].sum().item() / 4)
    assert 1.0 <= found["effective_chunks"].item() <= 3.0
    assert queries.grad.abs().sum() > 0 and passages.grad.abs().sum() > 0
    assert not any(found[key].requires_grad for key in found if key != "loss")


def of(arguments, **settings):
    return RevelaObjective(ObjectiveSettings(temperature=0.1, **settings), layers=2)(*arguments)


def test_dual_loss_adds_the_plain_streams_own_loss_with_its_gradient(small):
    lm, arguments = small
    alone, dual = of(arguments), of(arguments, dual_loss=True)
    assert dual["loss"].item() == pytest.approx((alone["loss"] + dual["plain_loss"]).item(), abs=1e-5)
    wanted = torch.autograd.grad(lm(input_ids=arguments[1], labels=arguments[1]).loss, lm.lm_head.weight)[0]
    gradients = [torch.autograd.grad(one["loss"], lm.lm_head.weight)[0] for one in (alone, dual)]
    torch.testing.assert_close(gradients[1] - gradients[0], wanted, rtol=1e-4, atol=1e-5)


def test_the_spread_penalty_is_the_mean_entropy_of_the_weights(small):
    _, arguments = small
    alone, penalised = of(arguments), of(arguments, spread_penalty=0.5)
    queries, passages = arguments[4:]
    logits = (queries @ passages.T / 0.1).masked_fill(torch.eye(4, dtype=torch.bool), -torch.inf)
    entropy = torch.distributions.Categorical(logits=logits).entropy().mean()
    assert (penalised["loss"] - alone["loss"]).item() == pytest.approx(0.5 * entropy.item(), abs=1e-5)


def test_symmetric_similarities_are_the_mean_of_both_directions(small):
    _, arguments = small
    queries, passages = arguments[4:]
    mean = (queries @ passages.T + passages @ queries.T) / 2
    given = RevelaObjective(ObjectiveSettings(temperature=0.1))(*arguments[:4], None, None, given=mean)
    assert of(arguments, symmetric=True)["loss"].item() == pytest.approx(given["loss"].item(), abs=1e-6)


def test_a_phases_temperature_replaces_the_objectives(small):
    _, arguments = small
    colder = RevelaObjective(ObjectiveSettings(temperature=0.1))(*arguments, temperature=0.01)
    assert colder["loss"].item() == pytest.approx(
        RevelaObjective(ObjectiveSettings(temperature=0.01))(*arguments)["loss"].item(), abs=1e-6
    )
    assert colder["effective_chunks"] < of(arguments)["effective_chunks"]


def test_closed_gates_leave_the_paper_form_plain_and_open_ones_let_the_reading_in(small):
    _, arguments = small
    objective = RevelaObjective(ObjectiveSettings(temperature=0.1, attention="paper", gate=True), layers=2)
    closed = objective(*arguments, measure_gain=True)
    assert closed["gain"].item() == pytest.approx(0.0, abs=1e-5)
    closed["loss"].backward()
    assert (objective.gates.grad != 0).all()
    with torch.no_grad():
        objective.gates.fill_(20.0)  # tanh is 1
    opened = objective(*arguments)
    assert opened["loss"].item() == pytest.approx(of(arguments, attention="paper")["loss"].item(), abs=1e-5)


def test_a_gate_of_the_joint_form_is_added_to_the_prior_and_starts_without_effect(small):
    _, arguments = small
    objective = RevelaObjective(ObjectiveSettings(temperature=0.1, gate=True), layers=2)
    start = objective(*arguments, measure_gain=True)
    assert start["loss"].item() == pytest.approx(of(arguments)["loss"].item(), abs=1e-6)
    with torch.no_grad():
        objective.gates.fill_(-50.0)
    assert objective(*arguments, measure_gain=True)["gain"].item() == pytest.approx(0.0, abs=1e-5)


def test_gates_without_the_number_of_layers_are_refused():
    with pytest.raises(ValueError, match="how many layers"):
        RevelaObjective(ObjectiveSettings(gate=True))


def test_symmetric_info_nce_is_the_mean_of_both_directions():
    torch.manual_seed(0)
    queries, passages = (torch.nn.functional.normalize(torch.randn(4, 8), dim=1) for _ in range(2))
    there = ContrastiveObjective(0.1)(queries, passages)["loss"]
    back = ContrastiveObjective(0.1)(passages, queries)["loss"]
    both = ContrastiveObjective(0.1, symmetric=True)(queries, passages)["loss"]
    torch.testing.assert_close(both, (there + back) / 2)

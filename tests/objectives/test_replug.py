"""REPLUG's divergence, with distributions that can be computed by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from transformers import LlamaConfig

from revela.modeling import load_lm
from revela.modeling.continuations import continuation_log_likelihoods
from revela.objectives import ReplugObjective


@pytest.fixture(scope="module")
def lm():
    torch.manual_seed(0)
    return load_lm(
        LlamaConfig(
            vocab_size=61, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4
        )
    )


def inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    ids = torch.randint(3, 61, (4, 8), generator=torch.Generator().manual_seed(1))
    continuation = ids.clone()
    continuation[:, :4] = -100
    return ids, torch.ones_like(ids), continuation


def unit(seed: int) -> torch.Tensor:
    return F.normalize(torch.randn(4, 6, generator=torch.Generator().manual_seed(seed)), dim=-1)


def test_the_loss_is_the_divergence_over_the_other_chunks_written_out(lm):
    queries, passages = unit(2), unit(3)
    found = ReplugObjective(0.5, 0.25)(lm, *inputs(), queries, passages)
    scores = continuation_log_likelihoods(lm, *inputs())
    total = 0.0
    for i in range(4):
        others = [j for j in range(4) if j != i]
        target = (scores[i, others] / 0.25).softmax(0)
        mine = (queries[i] @ passages[others].T / 0.5).softmax(0)
        total += float((target * (target / mine).log()).sum()) / 4
    assert found["loss"].item() == pytest.approx(total, abs=1e-6)
    assert 1 <= found["lm_effective_chunks"].item() <= 3


def test_the_retriever_alone_gets_a_gradient_and_it_leads_to_the_chunk_that_helps(lm):
    queries, passages = unit(2).requires_grad_(), unit(3).requires_grad_()
    optimizer = torch.optim.SGD([queries, passages], lr=1.0)
    objective = ReplugObjective(0.5, 0.01)
    for _ in range(200):
        loss = objective(lm, *inputs(), F.normalize(queries, dim=-1), F.normalize(passages, dim=-1))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    own = torch.eye(4, dtype=torch.bool)
    scores = continuation_log_likelihoods(lm, *inputs()).masked_fill(own, -torch.inf)
    cosines = (F.normalize(queries, dim=-1) @ F.normalize(passages, dim=-1).T).masked_fill(own, -torch.inf)
    assert cosines.argmax(dim=1).tolist() == scores.argmax(dim=1).tolist()
    assert all(weight.grad is None for weight in lm.parameters())


def test_a_chunk_without_second_part_is_a_document_only(lm):
    ids, mask, continuation = inputs()
    continuation[2] = -100
    queries = unit(2).requires_grad_()
    ReplugObjective()(lm, ids, mask, continuation, queries, unit(3))["loss"].backward()
    assert queries.grad[2].eq(0).all() and queries.grad[0].ne(0).any()
    with pytest.raises(ValueError, match="no chunk of the group has a second part"):
        ReplugObjective()(lm, ids, mask, torch.full_like(ids, -100), unit(2), unit(3))

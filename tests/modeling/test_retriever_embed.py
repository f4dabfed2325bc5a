"""Several batches of a step, in mini-batches or not: always the same embeddings and gradients."""

from __future__ import annotations

import pytest
import torch

from revela.modeling.retriever import Retriever

TEXTS = {
    "query": ["short", "a question about parsing", "x"],
    "passage": ["def parse(text): return text.split()", "import os", "class Reader: pass"],
}


def loss_and_gradients(retriever: Retriever) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    batches = {
        "query": retriever.tokenize(TEXTS["query"], "query"),
        "passage": retriever.tokenize(TEXTS["passage"], "document"),
    }
    retriever.zero_grad()
    found = retriever.embed(batches)
    torch.logsumexp(5 * found["query"] @ found["passage"].T, dim=1).sum().backward()
    return found, {name: weight.grad.clone() for name, weight in retriever.named_parameters()}


@pytest.fixture
def whole(backbone_folder):
    return loss_and_gradients(Retriever(backbone_folder / "retriever").train())


@pytest.mark.parametrize("mini_batch", [1, 2, 100])
def test_mini_batches_give_the_embeddings_and_gradients_of_all_at_once(backbone_folder, whole, mini_batch):
    found = loss_and_gradients(Retriever(backbone_folder / "retriever", mini_batch=mini_batch).train())
    for ours, plain in zip(found, whole, strict=True):
        for name, value in plain.items():
            torch.testing.assert_close(ours[name], value, rtol=1e-4, atol=5e-6)


def test_a_mini_batch_is_all_that_is_kept_for_the_backward_pass(backbone_folder):
    retriever = Retriever(backbone_folder / "retriever", mini_batch=1).train()
    kept = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor.numel())
        return tensor

    batch = retriever.tokenize(TEXTS["passage"], "document")
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        retriever.embed({"passage": batch})
    assert max(kept) <= max(batch["input_ids"].numel(), 3 * 32), "more than ids and embeddings"


def test_batches_of_nearly_one_length_share_a_forward_and_others_do_not(backbone_folder):
    retriever = Retriever(backbone_folder / "retriever")
    shapes = []
    retriever.register_forward_pre_hook(lambda _, inputs: shapes.append(tuple(inputs[0].shape)))
    ones = torch.ones(9, 60, dtype=torch.long)
    batches = {name: {"input_ids": ones[:, :length], "attention_mask": ones[:, :length]}
               for name, length in (("query", 20), ("passage", 60), ("rest", 58))}  # fmt: skip
    found = retriever.embed(batches)
    assert shapes == [(18, 60), (9, 20)]
    alone = retriever(*batches["rest"].values())
    torch.testing.assert_close(found["rest"], alone, rtol=1e-4, atol=5e-6)

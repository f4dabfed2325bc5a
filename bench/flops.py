"""FLOPs of a whole training step, by formula, for ours and for the plain reference."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from bench.inputs import Batch
from revela.training.flops import matmul_peak, matmul_weights
from revela.training.flops import step_flops as flops_of_weights
from revela.training.model import JointModel

_PEAK_SIZES = (1024, 1536, 2048, 3072, 4096)


@dataclass(frozen=True)
class Work:
    """How much of everything one step goes through.

    What the last layer leaves out of unread rows is not subtracted.

    Attributes:
        retriever_rows: (rows, tokens) of the queries and of the passages, padding included.
        lm_rows: (rows, tokens) of both streams or passes together.
        pairs: how many ordered pairs of chunks are read, out of B (B - 1), or B * B with the diagonal.
        head_trained: positions at which the LM head runs forward and backward.
        head_forward: positions at which it runs forward only.
    """

    retriever_rows: tuple[tuple[int, int], ...]
    lm_rows: tuple[int, int]
    pairs: int
    head_trained: int
    head_forward: int


def our_work(batch: Batch, pairs: int, chunks_read: int) -> Work:
    """The selected pairs; plain streams of the chunks that are read; the head where a target is."""
    size, tokens = batch["lm"]["input_ids"].shape
    targets = size * (tokens - 1)
    rows = tuple(tuple(batch[view]["input_ids"].shape) for view in ("query", "passage"))
    return Work(rows, (size + chunks_read, tokens), pairs, head_trained=targets, head_forward=0)


def reference_work(batch: Batch) -> Work:
    """Every pair, every position, every row padded to the maximum length."""
    size, tokens = batch["lm"]["input_ids"].shape
    rows = ((size, tokens), (size, tokens))
    return Work(rows, (2 * size, tokens), size * size, head_trained=size * tokens, head_forward=size * tokens)


def step_flops(model: JointModel, work: Work, *, checkpointed: bool) -> float:
    """Matrix products of one step, forward and backward.

    A weight: 2 a token forward, 2 for its input's gradient, 2 for its own where it trains
    (:func:`revela.training.flops.step_flops`). Attention between L queries and L keys:
    ``4 heads d L^2`` forward (logits, then values) and twice that backward; a causal mask does not
    reduce the count. Checkpointed, all but the head goes forward once more.
    """
    config = model.causal_lm.config
    head = model.causal_lm.get_output_embeddings().weight.numel()
    retriever_tokens = sum(rows * tokens for rows, tokens in work.retriever_rows)
    lm_tokens = work.lm_rows[0] * work.lm_rows[1]
    weights = (
        _through(model.retriever, retriever_tokens, checkpointed=checkpointed)
        + _through(model.lm, lm_tokens, checkpointed=checkpointed, without=head)
        + flops_of_weights(head, work.head_trained, backward=True, frozen_share=1.0)
        + flops_of_weights(head, work.head_forward, backward=False, frozen_share=1.0)
    )
    width = config.num_attention_heads * config.head_dim
    scored = sum(rows * tokens**2 for rows, tokens in (*work.retriever_rows, work.lm_rows))
    scored += work.pairs * work.lm_rows[1] ** 2
    return weights + (4 if checkpointed else 3) * 4.0 * width * scored * config.num_hidden_layers


def _through(model: nn.Module, tokens: int, *, checkpointed: bool, without: int = 0) -> float:
    """Forward and backward through all matrix weights but the `without` frozen ones of the head."""
    total = matmul_weights(model) - without
    linears = [module.weight for module in model.modules() if isinstance(module, nn.Linear)]
    trained = sum(weight.numel() for weight in linears if weight.requires_grad)
    frozen_share = 1.0 - trained / total
    again = (
        flops_of_weights(total, tokens, backward=False, frozen_share=frozen_share) if checkpointed else 0.0
    )
    return again + flops_of_weights(total, tokens, backward=True, frozen_share=frozen_share)


def best_matmul_peak(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s of the fastest square matrix product among several sizes."""
    return max(matmul_peak(device, dtype, size) for size in _PEAK_SIZES)

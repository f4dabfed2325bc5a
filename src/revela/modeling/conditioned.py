"""The conditioned next-token loss: the one function that everything else calls."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel

from revela.modeling.in_batch_attention import NAME, Attention, InBatch
from revela.modeling.weights import in_batch_log_weights, select_pairs


@dataclass
class ConditionedOutput:
    """What :func:`conditioned_loss` returns.

    Attributes:
        loss: () float32, mean next-token cross-entropy of the conditioned stream, in nats.
        plain_loss: () float32, the same of the plain stream; None unless asked for.
        logits: (B, L, V) of the conditioned stream; None unless asked for.
        weights: (B, B) float32, the in-batch weights w with their gradient, 0 on the diagonal.
    """

    loss: Tensor
    plain_loss: Tensor | None
    logits: Tensor | None
    weights: Tensor


def conditioned_loss(
    lm: PreTrainedModel,
    input_ids: Tensor,
    attention_mask: Tensor,
    labels: Tensor,
    similarities: Tensor,
    *,
    temperature: float,
    attention: Attention = "paper",
    v_norm: bool = True,
    min_weight: float = 0.0,
    top_k: int | None = None,
    return_plain_loss: bool = False,
    return_logits: bool = False,
) -> ConditionedOutput:
    """Next-token loss of a group whose chunks read each other (Revela, arXiv 2506.16552).

    One forward of 2B rows: the plain streams, then the conditioned ones. The LM head runs only
    where a target is, unless logits are asked for.

    Args:
        lm: a causal LM from :func:`revela.modeling.load_lm`.
        input_ids: (B, L) token ids of the group's chunks.
        attention_mask: (B, L), 1 at tokens and 0 at padding.
        labels: (B, L) token ids, -100 where there is no target; shifted inside, as in transformers.
        similarities: (B, B) retriever similarities of query i and passage j, with gradient.
        temperature: of the softmax over similarities; the paper's is 1e-4.
        attention: ``paper`` (weighted outputs added) or ``joint`` (one softmax, log w as prior).
        v_norm: the paper's V-normalisation; without meaning for ``joint``.
        min_weight: pairs with a smaller weight are skipped; 0 is dense.
        top_k: each chunk reads at most the k others of largest weight; None reads all.
        return_plain_loss: also the plain stream's loss, with gradient.
        return_logits: also the conditioned stream's logits at every position.

    Raises:
        ValueError: shapes that do not agree, no target at all, or an LM from elsewhere.
    """
    _check(lm, input_ids, attention_mask, labels, similarities, attention)
    size, length = input_ids.shape
    log_weights = in_batch_log_weights(similarities, temperature)
    group = InBatch(
        log_weights=log_weights,
        pairs=select_pairs(log_weights, min_weight, top_k),
        key_mask=attention_mask.bool(),
        attention=attention,
        v_norm=v_norm,
    )
    targets = F.pad(labels[:, 1:], (0, 1), value=-100).reshape(-1)
    scored = (targets != -100).nonzero().squeeze(1)
    if len(scored) == 0:
        raise ValueError("labels have no target: every position after the first is -100")
    conditioned_rows = torch.arange(size * length, device=input_ids.device) + size * length
    positions = conditioned_rows if return_logits else conditioned_rows[scored]
    if return_plain_loss:
        positions = torch.cat([positions, scored])
    with _head_only_at(lm, positions):
        output = lm(
            input_ids=input_ids.repeat(2, 1),
            attention_mask=attention_mask.repeat(2, 1),
            use_cache=False,
            in_batch=group,
        )
    logits, plain_logits = output.logits, None
    if return_plain_loss:
        logits, plain_logits = logits[: -len(scored)], logits[-len(scored) :]
    wanted = targets[scored]
    return ConditionedOutput(
        loss=F.cross_entropy((logits[scored] if return_logits else logits).float(), wanted),
        plain_loss=None if plain_logits is None else F.cross_entropy(plain_logits.float(), wanted),
        logits=logits.view(size, length, -1) if return_logits else None,
        weights=log_weights.exp(),
    )


@contextmanager
def _head_only_at(lm: PreTrainedModel, positions: Tensor) -> Iterator[None]:
    """Let the LM head see only some of the flattened (2B * L) positions.

    A hook, not a call of the head by ourselves: what a model does to its logits after the head
    (scaling, soft-capping) stays the model's own code.
    """

    def keep(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        hidden = inputs[0]
        return (hidden.reshape(-1, hidden.shape[-1])[positions], *inputs[1:])

    handle = lm.get_output_embeddings().register_forward_pre_hook(keep)
    try:
        yield
    finally:
        handle.remove()


def _check(
    lm: PreTrainedModel,
    input_ids: Tensor,
    attention_mask: Tensor,
    labels: Tensor,
    similarities: Tensor,
    attention: str,
) -> None:
    size = input_ids.shape[0]
    if input_ids.ndim != 2 or attention_mask.shape != input_ids.shape or labels.shape != input_ids.shape:
        raise ValueError(
            "input_ids, attention_mask and labels must all be (B, L), found "
            f"{tuple(input_ids.shape)}, {tuple(attention_mask.shape)}, {tuple(labels.shape)}"
        )
    if similarities.shape != (size, size):
        raise ValueError(
            f"similarities must be ({size}, {size}), a row and a column a chunk, "
            f"found {tuple(similarities.shape)}"
        )
    if attention not in ("paper", "joint"):
        raise ValueError(f"attention must be 'paper' or 'joint', found {attention!r}")
    if lm.config._attn_implementation != NAME:
        raise ValueError(
            f"the LM's attention implementation is '{lm.config._attn_implementation}', so its chunks would "
            "not read each other; load it with revela.modeling.load_lm"
        )

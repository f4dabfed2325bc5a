"""The conditioned next-token loss: the one function that everything else calls."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel

from revela.modeling.group import Attention, PlainKeys, plan_group, rows_read
from revela.modeling.group_span import GroupSpan
from revela.modeling.head import head_only_at, in_place_of_head
from revela.modeling.linear_cross_entropy import linear_cross_entropy
from revela.modeling.lm import probed
from revela.modeling.weights import in_batch_log_weights, renormalised, select_pairs


@dataclass
class ConditionedOutput:
    """What :func:`conditioned_loss` returns.

    Attributes:
        loss: () float32, mean next-token cross-entropy of the conditioned stream, in nats.
        plain_loss: () float32, the same of the plain stream; None unless asked for.
        logits: (B, L, V) of the conditioned stream; None unless asked for.
        weights: (B, B) float32, the in-batch weights w with their gradient, 0 at a row's own chunk;
            (B, B size) where the group spans processes.
        pairs: of the same shape, bool, the pairs that were computed.
        chunks_read: how many of the B chunks at least one other reads.
    """

    loss: Tensor
    plain_loss: Tensor | None
    logits: Tensor | None
    weights: Tensor
    pairs: Tensor
    chunks_read: int

    @property
    def skipped_weight(self) -> Tensor:
        """() float32, the mean over rows of the weight of the pairs that were left out."""
        return self.weights.detach().masked_fill(self.pairs, 0.0).sum(dim=1).mean()


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
    detach_plain_loss: bool = False,
    return_logits: bool = False,
    span: GroupSpan | None = None,
    uniform_share: float = 0.0,
    gates: Tensor | None = None,
    renormalise: bool = False,
) -> ConditionedOutput:
    """Next-token loss of a group whose chunks read each other (Revela, arXiv 2506.16552).

    One forward: the plain streams of the chunks that are read, then the conditioned streams of all. Where
    nothing of the language model trains, the plain streams have a forward of their own before it, without
    gradient: no weight depends on them.
    The LM head runs only where a target is, unless logits are asked for. Time and memory grow with
    the number of computed pairs, so linearly in B where `min_weight` or `top_k` bounds a row's.

    Args:
        lm: a causal LM from :func:`revela.modeling.load_lm`.
        input_ids: (B, L) token ids of the group's chunks.
        attention_mask: (B, L), 1 at tokens and 0 at padding.
        labels: (B, L) token ids, -100 where there is no target; shifted inside, as in transformers. A
            token that follows padding is no target.
        similarities: (B, B) retriever similarities of query i and passage j, with gradient.
        temperature: of the softmax over similarities; the paper's is 1e-4.
        attention: ``paper`` (weighted outputs added) or ``joint`` (one softmax, log w as prior).
        v_norm: the paper's V-normalisation; without meaning for ``joint``.
        min_weight: pairs with a smaller weight are skipped; 0 is dense.
        top_k: each chunk reads at most the k others of largest weight; None reads all.
        return_plain_loss: also the plain stream's loss, with gradient. All chunks then have a plain
            stream, through all of the last layer.
        detach_plain_loss: the plain stream's loss without its gradient, which saves a third of its
            time; for watching it.
        return_logits: also the conditioned stream's logits at every position.
        span: the group spans processes; all of them call this with their B chunks each, and (B, B size)
            similarities. The loss is then scaled so that its *mean over the processes* is the mean over
            all targets of the group, and so are the gradients that DDP averages.
        uniform_share: of every row's weight that is spread evenly over the others.
        renormalise: weights of the computed pairs are divided by their sum, row by row.
        gates: (layers,) float32, see :class:`revela.modeling.group.InBatch`; None has none.

    Raises:
        ValueError: shapes that do not agree, no target at all, or an LM from elsewhere.
    """
    transform = probed(lm).transform
    _check(input_ids, attention_mask, labels, similarities, attention, span)
    if span is not None:
        input_ids, attention_mask, labels = span.padded_alike(
            input_ids, attention_mask, labels, values=(0, 0, -100)
        )
    size, length = input_ids.shape
    log_weights = in_batch_log_weights(
        similarities, temperature, 0 if span is None else span.first(size), uniform_share
    )
    pairs = select_pairs(log_weights, min_weight, top_k)
    if renormalise:
        log_weights = renormalised(log_weights, pairs)
    mask = attention_mask.bool()
    if span is None:
        rows = torch.arange(size, device=pairs.device) if return_plain_loss else rows_read(pairs)
        exchange, key_rows, key_mask = None, rows, mask[rows]
    else:
        exchange = span.plan(pairs, mask, keep_plain=return_plain_loss)
        rows, key_rows, key_mask = exchange.rows, exchange.key_rows, exchange.key_mask
    # What follows padding (on the left) is no continuation of anything.
    targets = F.pad(labels[:, 1:].masked_fill(~mask[:, :-1], -100), (0, 1), value=-100)
    scored = targets != -100
    if not bool(scored.any()):
        raise ValueError("labels have no target: every position after the first is -100")
    # A causal row never sees padding to its right; without a mask the kernels' causal path serves.
    right_padded = bool((mask[:, :-1] >= mask[:, 1:]).all())
    padding = None if right_padded else attention_mask
    at = scored.flatten().nonzero().squeeze(1)
    wanted = targets.flatten()[at]
    plain_keys = plain_loss = None
    if torch.is_grad_enabled() and not any(weight.requires_grad for weight in lm.parameters()):
        plain_keys, plain_loss = _plain_forward(lm, input_ids, padding, rows, at, wanted, return_plain_loss)
        return_plain_loss, rows = False, rows[:0]
    group = plan_group(
        log_weights, pairs, key_rows, key_mask, plain_rows=len(rows), attention=attention, v_norm=v_norm,
        keep_plain=return_plain_loss, exchange=exchange, plain_keys=plain_keys, gates=gates,
    )  # fmt: skip
    streams, offset = torch.cat([rows, torch.arange(size, device=rows.device)]), len(rows) * length
    inputs = {
        "input_ids": input_ids[streams],
        "attention_mask": None if padding is None else padding[streams],
        "use_cache": False,
        "in_batch": group,
    }
    logits = None
    head = lm.get_output_embeddings()
    # Adapters on the head make another module of it, whose weight alone would not tell.
    if transform is None or return_logits or type(head) is not nn.Linear:
        positions = torch.arange(size * length, device=at.device) if return_logits else at
        positions = positions + offset
        with head_only_at(lm, torch.cat([positions, at]) if return_plain_loss else positions):
            found = lm(**inputs).logits
        loss = F.cross_entropy(found[: len(positions)][at if return_logits else ...].float(), wanted)
        if return_plain_loss:
            plain_logits = found[len(positions) :].float()
            plain_loss = F.cross_entropy(plain_logits.detach() if detach_plain_loss else plain_logits, wanted)
        if return_logits:
            logits = found[: len(positions)].view(size, length, -1)
    else:

        def losses(hidden: Tensor) -> list[Tensor]:
            found = [linear_cross_entropy(hidden[at + offset], head, wanted, transform)]
            if return_plain_loss:
                with torch.set_grad_enabled(torch.is_grad_enabled() and not detach_plain_loss):
                    found.append(linear_cross_entropy(hidden[at], head, wanted, transform))
            return found

        with in_place_of_head(lm, losses) as found:
            nothing = lm(**inputs).logits
        loss, plain_loss = found if return_plain_loss else (*found, plain_loss)
        # The empty logits add 0, but a gradient must come back through the model's output: sharded
        # weights are gathered for the backward pass when it does.
        loss = loss + nothing.sum()
    if span is not None:
        share = len(at) * span.size / span.total(scored.sum())
        loss, plain_loss = loss * share, None if plain_loss is None else plain_loss * share
    read = pairs.any(dim=0).sum() if exchange is None else exchange.chunks_read
    return ConditionedOutput(loss, plain_loss, logits, log_weights.exp(), pairs, int(read))


def _plain_forward(
    lm: PreTrainedModel,
    input_ids: Tensor,
    padding: Tensor | None,
    rows: Tensor,
    at: Tensor,
    wanted: Tensor,
    with_loss: bool,
) -> tuple[PlainKeys, Tensor | None]:
    """Keys and values of the chunks `rows` in every layer, and their loss if asked for; no gradient.

    With a loss, `rows` are all chunks, so that `at` counts their positions.
    """
    keys = PlainKeys()
    # Models cannot run without a row, and sharded ones have to run in every process.
    computed = rows if len(rows) else rows.new_zeros(1)
    with torch.no_grad(), head_only_at(lm, at if with_loss else at[:0]):
        logits = lm(
            input_ids=input_ids[computed],
            attention_mask=None if padding is None else padding[computed],
            use_cache=False,
            in_batch=keys,
        ).logits
        for module, (key, value) in keys.items():
            keys[module] = key[: len(rows)], value[: len(rows)]
        return keys, F.cross_entropy(logits.float(), wanted) if with_loss else None


def _check(
    input_ids: Tensor,
    attention_mask: Tensor,
    labels: Tensor,
    similarities: Tensor,
    attention: str,
    span: GroupSpan | None,
) -> None:
    size = input_ids.shape[0]
    columns = size if span is None else size * span.size
    if input_ids.ndim != 2 or attention_mask.shape != input_ids.shape or labels.shape != input_ids.shape:
        raise ValueError(
            "input_ids, attention_mask and labels must all be (B, L), found "
            f"{tuple(input_ids.shape)}, {tuple(attention_mask.shape)}, {tuple(labels.shape)}"
        )
    if similarities.shape != (size, columns):
        raise ValueError(
            f"similarities must be ({size}, {columns}), a row a chunk and a column a chunk of the group, "
            f"found {tuple(similarities.shape)}"
        )
    if not bool(attention_mask.any(dim=1).all()):
        raise ValueError("every chunk needs at least one token, but a row of attention_mask is all 0")
    if attention not in ("paper", "joint"):
        raise ValueError(f"attention must be 'paper' or 'joint', found {attention!r}")

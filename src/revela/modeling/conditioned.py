"""The conditioned next-token loss: the one function that everything else calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from revela.modeling.chunk_rows import ChunkRows, Targets
from revela.modeling.group import Attention, InBatch, Pairs, PlainKeys, Slots, plan_pairs, plan_slots
from revela.modeling.group_span import GroupSpan, SpanPlan
from revela.modeling.head import head_only_at, in_place_of_head
from revela.modeling.joint_attention import share_priors
from revela.modeling.linear_cross_entropy import linear_cross_entropy
from revela.modeling.lm import probed
from revela.modeling.rows import to_device
from revela.modeling.weights import in_batch_log_weights, renormalised, select_pairs


@dataclass
class ConditionedOutput:
    """What :func:`conditioned_loss` returns.

    Attributes:
        loss: () float32, mean next-token cross-entropy of the conditioned stream, in nats; of several
            groups the mean of their means.
        plain_loss: () float32, the same of the plain stream; None unless asked for.
        logits: (C, L, V) of the conditioned stream; None unless asked for.
        weights: (B, B) float32, the in-batch weights w with their gradient, 0 at a row's own chunk;
            (B, B size) where the group spans processes; of the shape of the similarities.
        pairs: of the same shape, bool, the pairs that were computed.
        chunks_read: () long, how many of the C chunks at least one other reads.
    """

    loss: Tensor
    plain_loss: Tensor | None
    logits: Tensor | None
    weights: Tensor
    pairs: Tensor
    chunks_read: Tensor

    @property
    def skipped_weight(self) -> Tensor:
        """() float32, the mean over rows of the weight of the pairs that were left out."""
        return self.weights.detach().masked_fill(self.pairs, 0.0).sum(dim=-1).mean()


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
    lengths: Sequence[int] | None = None,
) -> ConditionedOutput:
    """Next-token loss of groups whose chunks read each other (Revela, arXiv 2506.16552).

    One forward for all groups: the plain streams of the chunks that are read, then the conditioned streams
    of all. Rows lie one after the other, without padding, wherever the model allows it. Where
    nothing of the language model trains, the plain streams have a forward of their own before it, without
    gradient: no weight depends on them.
    The LM head runs only where a target is, unless logits are asked for. Time and memory grow with
    the number of computed pairs, so linearly in B where `min_weight` or `top_k` bounds a row's.

    Args:
        lm: a causal LM from :func:`revela.modeling.load_lm`.
        input_ids: (C, L) token ids of the chunks, group after group; C = G B.
        attention_mask: (C, L), 1 at tokens and 0 at padding.
        labels: (C, L) token ids, -100 where there is no target; shifted inside, as in transformers. A
            token that follows padding is no target.
        similarities: (G, B, B) retriever similarities of query i and passage j of every group, with
            gradient; (B, B) for one group.
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
        span: the group spans processes; all of them call this with their B chunks each, and (G, B, B size)
            similarities. The loss is then scaled so that its *mean over the processes* is the mean over
            all targets of the group, and so are the gradients that DDP averages.
        uniform_share: of every row's weight that is spread evenly over the others.
        renormalise: weights of the computed pairs are divided by their sum, row by row.
        gates: (layers,) float32, see :class:`revela.modeling.group.InBatch`; None has none.
        lengths: tokens of every chunk, on the host, where the caller knows them and that padding is on the
            right. Nothing is then read back from the device to find out, nor checked: a group without
            any target gives a loss that is not a number.

    Raises:
        ValueError: shapes that do not agree, no target at all, or an LM from elsewhere.
    """
    known = probed(lm)
    _check(input_ids, attention_mask, labels, similarities, attention, span)
    grouped = similarities if similarities.ndim == 3 else similarities[None]
    if span is not None:
        input_ids, attention_mask, labels = span.padded_alike(
            input_ids, attention_mask, labels, values=(0, 0, -100)
        )
    groups, size, _ = grouped.shape
    log_weights = in_batch_log_weights(
        grouped, temperature, 0 if span is None else span.first(size), uniform_share
    )
    pairs = select_pairs(log_weights, min_weight, top_k)
    if renormalise:
        log_weights = renormalised(log_weights, pairs)
    chunks = ChunkRows.of(input_ids, attention_mask, lengths, known.packs)
    targets = Targets.of(chunks, labels, groups, span, trusted=lengths is not None)
    read = _chunks_read(pairs, chunks, span, attention, every=return_plain_loss)
    plain, exchange = read.plain, read.exchange
    plain_keys = plain_loss = None
    if torch.is_grad_enabled() and not any(weight.requires_grad for weight in lm.parameters()):
        plain_keys, plain_loss = _plain_forward(lm, chunks, plain, targets if return_plain_loss else None)
        return_plain_loss, plain = False, []
    rows, inputs = chunks.inputs([*plain, *range(len(input_ids))])
    group = InBatch(
        _plan(log_weights, pairs, read, attention, top_k, whole=min_weight == 0.0), v_norm,
        plain_rows=len(plain), rows=rows, keep_plain=return_plain_loss, exchange=exchange,
        plain_keys=plain_keys, gates=gates,
    )  # fmt: skip
    if isinstance(group.plan, Slots) and gates is None:
        share_priors(group, chunks.length, _computed_in(lm), known.heads)
    offset = chunks.positions_of(plain)
    logits = None
    head, transform = lm.get_output_embeddings(), known.transform
    inputs |= {"use_cache": False, "in_batch": group}
    # Adapters on the head make another module of it, whose weight alone would not tell.
    if transform is None or return_logits or type(head) is not nn.Linear:
        positions = torch.arange(chunks.positions, device=input_ids.device) if return_logits else targets.at
        positions = positions + offset
        with head_only_at(lm, torch.cat([positions, targets.at]) if return_plain_loss else positions):
            found = lm(**inputs).logits.flatten(0, -2)
        ours, theirs = found[: len(positions)], found[len(positions) :]
        loss = targets.loss(ours[targets.at] if return_logits else ours)
        if return_plain_loss:
            plain_loss = targets.loss(theirs.detach() if detach_plain_loss else theirs)
        if return_logits:
            logits = chunks.padded(ours)
    else:

        def losses(hidden: Tensor) -> list[Tensor]:
            def at(positions: Tensor) -> Tensor:
                return linear_cross_entropy(
                    hidden[positions], head, targets.wanted, transform, targets.weights
                )

            found = [at(targets.at + offset)]
            if return_plain_loss:
                with torch.set_grad_enabled(torch.is_grad_enabled() and not detach_plain_loss):
                    found.append(at(targets.at))
            return found

        with in_place_of_head(lm, losses) as found:
            nothing = lm(**inputs).logits
        loss = found[0]
        if return_plain_loss:
            plain_loss = found[1]
        # The empty logits add 0, but a gradient must come back through the model's output: sharded
        # weights are gathered for the backward pass when it does.
        loss = loss + nothing.sum()
    return ConditionedOutput(
        loss,
        plain_loss,
        logits,
        log_weights.exp().view_as(similarities),
        pairs.view_as(similarities),
        pairs.any(dim=1).sum() if exchange is None else exchange.chunks_read,
    )


@dataclass(frozen=True)
class _Read:
    """Which rows can be read.

    Attributes:
        plain: the chunks, 0 to C - 1, that have a plain stream here.
        row_of: (C, N) long, the key row of every chunk of a row's group; anything where nobody reads it.
        key_mask: (M, L) bool; None where nothing is padded.
        exchange: brings the others' key rows; None within one process.
    """

    plain: list[int]
    row_of: Tensor
    key_mask: Tensor | None
    exchange: SpanPlan | None


def _chunks_read(
    pairs: Tensor, chunks: ChunkRows, span: GroupSpan | None, attention: Attention, every: bool
) -> _Read:
    groups, size, columns = pairs.shape
    count, device = groups * size, pairs.device
    if span is not None:
        exchange = span.plan(pairs, chunks.attention_mask.bool(), keep_plain=every)
        plain, key_rows = exchange.rows.tolist(), exchange.key_rows
        key_mask = None if bool(exchange.key_mask.all()) else exchange.key_mask
    else:
        exchange = None
        # To know which chunks somebody reads, the host has to wait for a GPU. Among the nearest of each row
        # nearly all are, so there all are computed.
        if every or (attention == "joint" and device.type == "cuda"):
            plain = list(range(count))
        else:
            plain = pairs.any(dim=1).flatten().nonzero().squeeze(1).tolist()
        key_rows = to_device(torch.tensor(plain, dtype=torch.long), device)
        key_mask = None if chunks.mask is None else chunks.mask[key_rows]
    processes = columns // size
    row_of = torch.zeros(processes * count, dtype=torch.long, device=device)
    row_of[key_rows] = torch.arange(len(key_rows), device=device)
    row_of = row_of.view(processes, groups, 1, size).permute(1, 2, 0, 3).reshape(groups, 1, columns)
    return _Read(plain, row_of.expand(-1, size, -1).reshape(count, columns), key_mask, exchange)


def _plan(
    log_weights: Tensor, pairs: Tensor, read: _Read, attention: Attention, top_k: int | None, whole: bool
) -> Pairs | Slots:
    weights, chosen = log_weights.flatten(0, 1), pairs.flatten(0, 1)
    if attention == "paper":
        return plan_pairs(weights, chosen, read.row_of, read.key_mask)
    others = chosen.shape[1] - 1
    slots = others if top_k is None else min(top_k, others)
    if chosen.device.type != "cuda" and not whole:
        # Here it costs nothing to look how many are filled at most.
        slots = int(chosen.sum(dim=1).max())
    return plan_slots(weights, chosen, read.row_of, read.key_mask, slots, whole=whole)


def _computed_in(lm: PreTrainedModel) -> torch.dtype:
    """What keys are computed in."""
    kind = lm.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else lm.dtype


def _plain_forward(
    lm: PreTrainedModel, chunks: ChunkRows, plain: list[int], targets: Targets | None
) -> tuple[PlainKeys, Tensor | None]:
    """Keys and values of the chunks `plain` in every layer, and their loss if asked for; no gradient.

    With targets, `plain` are all chunks, so that their positions are those in the conditioned stream.
    """
    # Models cannot run without a row, and sharded ones have to run in every process.
    rows, inputs = chunks.inputs(plain or [0])
    keys = PlainKeys(rows)
    at = torch.zeros(0, dtype=torch.long, device=chunks.input_ids.device) if targets is None else targets.at
    with torch.no_grad(), head_only_at(lm, at):
        logits = lm(**inputs, use_cache=False, in_batch=keys).logits.flatten(0, -2)
        for module, (key, value) in keys.items():
            keys[module] = key[: len(plain)], value[: len(plain)]
        return keys, None if targets is None else targets.loss(logits)


def _check(
    input_ids: Tensor,
    attention_mask: Tensor,
    labels: Tensor,
    similarities: Tensor,
    attention: str,
    span: GroupSpan | None,
) -> None:
    if input_ids.ndim != 2 or attention_mask.shape != input_ids.shape or labels.shape != input_ids.shape:
        raise ValueError(
            "input_ids, attention_mask and labels must all be (B, L), found "
            f"{tuple(input_ids.shape)}, {tuple(attention_mask.shape)}, {tuple(labels.shape)}"
        )
    processes = 1 if span is None else span.size
    groups = similarities.shape[0] if similarities.ndim == 3 else 1
    size = input_ids.shape[0] // max(groups, 1)
    wanted = (size, size * processes) if similarities.ndim != 3 else (groups, size, size * processes)
    if similarities.shape != wanted or groups * size != input_ids.shape[0]:
        raise ValueError(
            f"similarities must be {wanted}, a row a chunk and a column a chunk of the group, "
            f"found {tuple(similarities.shape)} for {input_ids.shape[0]} chunks"
        )
    if attention not in ("paper", "joint"):
        raise ValueError(f"attention must be 'paper' or 'joint', found {attention!r}")

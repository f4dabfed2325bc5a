"""What every attention layer must know about the groups of a forward; worked out once, not once a layer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from revela.modeling.rows import Rows, to_device

Attention = Literal["paper", "joint"]


class KeyValueExchange(Protocol):
    """Brings plain keys and values of other processes; see :mod:`revela.modeling.group_span`."""

    def __call__(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]: ...


class PlainKeys(dict[nn.Module, tuple[Tensor, Tensor]]):
    """Keys and values (R, Hkv, L, d or dv) of the plain rows by attention module, filled by a forward.

    Where nothing of the language model trains, the plain rows need no gradient: they are computed in a
    forward of their own, which keeps no activations, and the conditioned rows read from here.

    Args:
        rows: how the rows of that forward lie; None where the model was given (R, L) and a mask.
    """

    def __init__(self, rows: Rows | None = None) -> None:
        super().__init__()
        self.rows = rows


@dataclass(frozen=True)
class Pairs:
    """Who reads whom, pair by pair, for the paper's form.

    Attributes:
        readers: (P,) conditioned row, 0 to C - 1, of every computed pair.
        read: (P,) key row, 0 to M - 1, of every computed pair.
        log_weights: (P,) float32 with gradient.
        key_mask: (P, 1, 1, L) bool, true at unpadded tokens of the key row; None where nothing is padded.
    """

    readers: Tensor
    read: Tensor
    log_weights: Tensor
    key_mask: Tensor | None


@dataclass(frozen=True)
class Slots:
    """Who reads whom, k slots a row, for one softmax over all that a row reads.

    Attributes:
        read: (C, k) key row, 0 to M - 1, in every slot.
        log_weights: (C, k) float32 with gradient.
        filled: (C, k) bool, false where a slot is empty; None where all are filled.
        key_mask: (M, L) bool, true at unpadded tokens; None where nothing is padded.
    """

    read: Tensor
    log_weights: Tensor
    filled: Tensor | None
    key_mask: Tensor | None


@dataclass
class InBatch:
    """Pairs and weights of a forward, handed to every layer through the model's keyword arguments.

    A forward has R + C rows: the *plain* streams of the R chunks that somebody reads, then the
    *conditioned* streams of all C chunks of its groups. The layers read from M key rows: the R plain ones,
    and after them what an exchange brings from other processes.

    Attributes:
        plan: who reads whom; :class:`Pairs` adds the weighted outputs to the self-attention output
            (``paper``), :class:`Slots` puts all keys under one softmax with log w as a prior (``joint``).
        v_norm: divide by the weighted value norm (``paper`` only).
        plain_rows: R.
        rows: how the R + C rows lie; None where the model was given (R + C, L) and a mask.
        keep_plain: the plain rows' own output is wanted too, in the last layer as well.
        exchange: fetches other processes' key rows; None within one process.
        answered: the attention modules that have called so far; the probe at load reads it.
        plain_keys: the plain rows' keys and values, computed before; then no row of this forward is plain.
        gates: (layers,) how much each layer lets in of what is read: ``paper`` multiplies the reading by
            tanh(gate) (Flamingo, Alayrac et al. 2022), ``joint`` adds the gate to the prior; None is neither.
        kept: what the layers share, kept from the first one on.
        heads: size and logit scale of the heads of the layers that asked for a prior; the probe reads it.
    """

    plan: Pairs | Slots
    v_norm: bool
    plain_rows: int
    rows: Rows | None = None
    keep_plain: bool = False
    exchange: KeyValueExchange | None = None
    plain_keys: PlainKeys | None = None
    gates: Tensor | None = None
    answered: list[nn.Module] = field(default_factory=list)
    kept: dict[object, Tensor] = field(default_factory=dict)
    heads: set[tuple[int, float]] = field(default_factory=set)

    @property
    def reads_nothing(self) -> bool:
        """No pair is computed at all (every weight below the threshold)."""
        return self.plan.read.numel() == 0

    @property
    def plain_tokens(self) -> int:
        """How many tokens of a forward without padding belong to the plain rows."""
        assert self.rows is not None
        return sum(self.rows.lengths[: self.plain_rows])


def plan_pairs(log_weights: Tensor, pairs: Tensor, row_of: Tensor, key_mask: Tensor | None) -> Pairs:
    """The chosen pairs, one after the other.

    Args:
        log_weights: (C, N) float32 with gradient, every row's weights of the N chunks of its group.
        pairs: (C, N) bool, the pairs that are computed.
        row_of: (C, N) long, the key row of every such chunk; anything where no pair is.
        key_mask: (M, L) bool; None where nothing is padded.
    """
    # Where they stand is worked out on the host: one wait for the device instead of one an index.
    chosen = to_device(pairs.detach().cpu().flatten().nonzero().squeeze(1), pairs.device)
    readers = chosen // pairs.shape[1]
    read = row_of.flatten()[chosen]
    return Pairs(
        readers=readers,
        read=read,
        log_weights=log_weights.flatten()[chosen],
        key_mask=None if key_mask is None else key_mask[read][:, None, None, :],
    )


def plan_slots(
    log_weights: Tensor, pairs: Tensor, row_of: Tensor, key_mask: Tensor | None, slots: int, whole: bool
) -> Slots:
    """The chosen pairs in `slots` slots a row, by falling weight; nothing is read back from the device.

    Args:
        log_weights, pairs, row_of, key_mask: as for :func:`plan_pairs`.
        slots: k, at least the most pairs of any row.
        whole: every row has just k pairs.
    """
    scores = log_weights.detach().masked_fill(~pairs, -torch.inf)
    chosen = scores.topk(slots, dim=1).indices
    read, prior = row_of.gather(1, chosen), log_weights.gather(1, chosen)
    if whole:
        return Slots(read, prior, None, key_mask)
    filled = pairs.gather(1, chosen)
    # An empty slot is masked, and must still name a row that exists.
    return Slots(read.masked_fill(~filled, 0), prior.masked_fill(~filled, 0.0), filled, key_mask)

"""What every attention layer must know about a group; worked out once a forward, not once a layer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

Attention = Literal["paper", "joint"]


class KeyValueExchange(Protocol):
    """Brings plain keys and values of other processes; see :mod:`revela.modeling.group_span`."""

    def __call__(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]: ...


class PlainKeys(dict[nn.Module, tuple[Tensor, Tensor]]):
    """Keys and values (R, Hkv, L, d or dv) of the plain rows by attention module, filled by a forward.

    Where nothing of the language model trains, the plain rows need no gradient: they are computed in a
    forward of their own, which keeps no activations, and the conditioned rows read from here.
    """


@dataclass
class InBatch:
    """One group's pairs and weights, handed to every layer through the model's keyword arguments.

    A forward has R + B rows: the *plain* streams of the R chunks that somebody reads, then the
    *conditioned* streams of all B. The layers read from M key rows: the R plain ones, and after
    them what an exchange brings from other processes.

    Attributes:
        attention: ``paper`` adds the weighted outputs to the self-attention output, ``joint`` puts
            all keys under one softmax with log w as a prior.
        v_norm: divide by the weighted value norm (``paper`` only).
        plain_rows: R.
        readers: (P,) conditioned row, 0 to B - 1, of every computed pair.
        read: (P,) key row, 0 to M - 1, of every computed pair.
        log_weights: (P,) float32 with gradient.
        key_mask: (M, L) bool, true at unpadded tokens; None where nothing is padded.
        slots: (B, k) indices into the pairs, k being the most any row reads (``joint``).
        filled: (B, k) bool, false where a row reads fewer than k; None where all are filled.
        keep_plain: the plain rows' own output is wanted too, in the last layer as well.
        exchange: fetches other processes' key rows; None within one process.
        answered: the attention modules that have called so far; the probe at load reads it.
        plain_keys: the plain rows' keys and values, computed before; then no row of this forward is plain.
        gates: (layers,) how much each layer lets in of what is read: ``paper`` multiplies the reading by
            tanh(gate) (Flamingo, Alayrac et al. 2022), ``joint`` adds the gate to the prior; None is neither.
        joint_mask: the additive mask over own and other keys, kept from the first layer on.
    """

    attention: Attention
    v_norm: bool
    plain_rows: int
    readers: Tensor
    read: Tensor
    log_weights: Tensor
    key_mask: Tensor | None
    slots: Tensor
    filled: Tensor | None
    keep_plain: bool = False
    exchange: KeyValueExchange | None = None
    plain_keys: PlainKeys | None = None
    gates: Tensor | None = None
    answered: list[nn.Module] = field(default_factory=list)
    joint_mask: Tensor | None = None

    @property
    def reads_nothing(self) -> bool:
        """No pair is computed at all (every weight below the threshold)."""
        return len(self.readers) == 0


def rows_read(pairs: Tensor) -> Tensor:
    """The chunks that at least one row reads, ascending.

    Args:
        pairs: (B, N) bool.

    Returns:
        (R,) long.
    """
    return pairs.any(dim=0).nonzero().squeeze(1)


def plan_group(
    log_weights: Tensor,
    pairs: Tensor,
    key_rows: Tensor,
    key_mask: Tensor,
    *,
    plain_rows: int,
    attention: Attention,
    v_norm: bool,
    keep_plain: bool = False,
    exchange: KeyValueExchange | None = None,
    plain_keys: PlainKeys | None = None,
    gates: Tensor | None = None,
) -> InBatch:
    """Turn a group's chosen pairs into what the layers use.

    Args:
        log_weights: (B, N) float32 with gradient.
        pairs: (B, N) bool, the pairs that are computed.
        key_rows: (M,) chunk, 0 to N - 1, of every key row.
        key_mask: (M, L) bool, true at unpadded tokens.
        plain_rows: how many of the key rows this process computes in this forward; they come first.
    """
    readers, chunks = pairs.nonzero(as_tuple=True)
    row_of = torch.full((pairs.shape[1],), -1, dtype=torch.long, device=pairs.device)
    row_of[key_rows] = torch.arange(len(key_rows), device=pairs.device)
    counts = pairs.sum(dim=1)
    most = max(int(counts.max()), 1)
    # Pairs are sorted by reader, so a row's pairs are consecutive.
    offsets = torch.arange(most, device=pairs.device)[None]
    filled = offsets < counts[:, None]
    slots = ((counts.cumsum(0) - counts)[:, None] + offsets).masked_fill(~filled, 0)
    return InBatch(
        attention=attention,
        v_norm=v_norm,
        plain_rows=plain_rows,
        readers=readers,
        read=row_of[chunks],
        log_weights=log_weights[readers, chunks],
        key_mask=None if bool(key_mask.all()) else key_mask,
        slots=slots,
        filled=None if bool(filled.all()) else filled,
        keep_plain=keep_plain,
        exchange=exchange,
        plain_keys=plain_keys,
        gates=gates,
    )

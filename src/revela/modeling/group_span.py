"""A group that spans processes: every process holds B of its chunks, and reads those of the others.

What is exchanged is small: the embeddings once, and in every layer the keys and values of those plain
rows that some chunk of another process reads. Gradients take the way back.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from revela.modeling.autograd import Function


class GroupSpan:
    """The processes whose chunks form one group, B each, in the order of their ranks.

    Every method is called by all of them, in the same order. Communication has a process group of
    its own, so that it cannot be mistaken for the exchange of gradients that DDP runs meanwhile.

    Args:
        timeout: how long the processes wait for each other; None is torch's default.
    """

    def __init__(self, timeout: timedelta | None = None) -> None:
        self.processes = dist.new_group(timeout=timeout)
        self.rank = dist.get_rank(self.processes)
        self.size = dist.get_world_size(self.processes)

    def __deepcopy__(self, memo: dict[int, Any]) -> GroupSpan:
        # A connection is not copied with the model that holds it.
        return self

    def first(self, chunks: int) -> int:
        """The number, within a group, of this process's first chunk, when each holds `chunks` of it."""
        return self.rank * chunks

    def gather(self, rows: Tensor) -> Tensor:
        """(B, ...) of every process to (B size, ...); the gradient is summed over the processes."""
        return _Gather.apply(rows, self)

    def gather_groups(self, rows: Tensor) -> Tensor:
        """(G, B, D) of every process to (G, B size, D), each group's rows process by process."""
        groups, size, width = rows.shape
        everyones = self.gather(rows).view(self.size, groups, size, width)
        return everyones.transpose(0, 1).reshape(groups, -1, width)

    def total(self, count: Tensor) -> Tensor:
        """Sum of a number over the processes, without gradient."""
        count = count.clone()
        dist.all_reduce(count, group=self.processes)
        return count

    def padded_alike(self, *rows: Tensor, values: tuple[int, ...]) -> list[Tensor]:
        """(B, L) tensors of one L, lengthened on the right to the longest L of any process.

        Args:
            values: what to fill each of them up with.
        """
        longest = torch.tensor(rows[0].shape[1], device=rows[0].device)
        dist.all_reduce(longest, dist.ReduceOp.MAX, group=self.processes)
        extra = int(longest) - rows[0].shape[1]
        return [F.pad(row, (0, extra), value=value) for row, value in zip(rows, values, strict=True)]

    def plan(self, pairs: Tensor, mask: Tensor, keep_plain: bool) -> SpanPlan:
        """Who sends which plain rows to whom.

        Args:
            pairs: (G, B, B size) bool, what this process's chunks read of every group.
            mask: (G B, L) bool of this process's chunks, all of one L over the processes.
            keep_plain: every chunk has a plain row, read or not.

        The chunks of all processes are numbered process by process, 0 to G B size - 1.
        """
        groups, size, _ = pairs.shape
        chunks = groups * size
        own = slice(self.rank * chunks, (self.rank + 1) * chunks)
        read = pairs.any(dim=1).view(groups, self.size, size).transpose(0, 1).reshape(1, -1)
        # (size, G B size): which chunks the chunks of each process read.
        wanted = self.gather(read.to(torch.uint8)).bool()
        plain = torch.ones_like(wanted[0, own]) if keep_plain else wanted[:, own].any(dim=0)
        rows = plain.nonzero().squeeze(1)
        row_of = plain.cumsum(0) - 1
        sent, received = [], []
        for process in range(self.size):
            theirs = slice(process * chunks, (process + 1) * chunks)
            if process == self.rank:
                sent.append(rows[:0])
                received.append(rows[:0])
            else:
                sent.append(row_of[wanted[process, own]])
                received.append(wanted[self.rank, theirs].nonzero().squeeze(1) + theirs.start)
        key_rows = torch.cat([rows + own.start, *received])
        return SpanPlan(
            span=self,
            rows=rows,
            key_rows=key_rows,
            key_mask=self.gather(mask.to(torch.uint8)).bool()[key_rows],
            chunks_read=wanted[:, own].any(dim=0).sum(),
            sent=torch.cat(sent),
            sent_counts=[len(part) for part in sent],
            received_counts=[len(part) for part in received],
        )


@dataclass
class SpanPlan:
    """One step's exchange; calling it brings the other processes' key rows.

    Attributes:
        rows: (R,) this process's chunks, 0 to G B - 1, that have a plain row.
        key_rows: (M,) chunk, over all processes, of every row that can be read here: the R, then the others'.
        key_mask: (M, L) bool.
        chunks_read: (), how many of this process's chunks at least one chunk of the group reads.
        sent: indices into the R rows, by receiving process.
    """

    span: GroupSpan
    rows: Tensor
    key_rows: Tensor
    key_mask: Tensor
    chunks_read: Tensor
    sent: Tensor
    sent_counts: list[int]
    received_counts: list[int]

    def __call__(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """(R, Hkv, L, d) and (R, Hkv, L, dv) of the plain rows here to (M, ...) of all readable ones."""
        width = key.shape[-1]
        both = torch.cat([key, value], dim=-1)[self.sent]
        arrived = _Exchange.apply(both, self.sent_counts, self.received_counts, self.span)
        return torch.cat([key, arrived[..., :width]]), torch.cat([value, arrived[..., width:]])


class _Gather(Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, span: GroupSpan) -> Tensor:
        ctx.span, ctx.count = span, len(rows)
        parts = [torch.empty_like(rows) for _ in range(span.size)]
        dist.all_gather(parts, rows.contiguous(), group=span.processes)
        return torch.cat(parts)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        gradient = gradient.contiguous().clone()
        dist.all_reduce(gradient, group=ctx.span.processes)
        first = ctx.span.first(ctx.count)
        return gradient[first : first + ctx.count], None


class _Exchange(Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, sent: list[int], received: list[int], span: GroupSpan) -> Tensor:
        ctx.sent, ctx.received, ctx.span = sent, received, span
        return _all_to_all(rows, sent, received, span)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        return _all_to_all(gradient, ctx.received, ctx.sent, ctx.span), None, None, None


def _all_to_all(rows: Tensor, sent: list[int], received: list[int], span: GroupSpan) -> Tensor:
    arrived = rows.new_empty(sum(received), *rows.shape[1:])
    dist.all_to_all_single(arrived, rows.contiguous(), received, sent, group=span.processes)
    return arrived

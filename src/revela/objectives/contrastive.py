"""InfoNCE between the halves of a chunk, the other chunks of the step as negatives."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from revela.modeling.group_span import GroupSpan
from revela.objectives.similarity import cosines


class ContrastiveObjective(nn.Module):
    """First part of a chunk as query, the second parts of all chunks as passages.

    The views follow Contriever (Izacard et al., TMLR 2022): two pieces of one text are a positive
    pair. Which chunks come together, and so how hard the negatives are, is the data's business.

    Args:
        temperature: of the softmax over cosines; 0.05 as in Contriever and SimCSE.
        symmetric: also find each passage's query among all, and take the mean of both losses, as CLIP does
            (Radford et al. 2021, arXiv 2103.00020).
    """

    def __init__(self, temperature: float = 0.05, symmetric: bool = False) -> None:
        super().__init__()
        self.temperature = temperature
        self.symmetric = symmetric

    def forward(self, queries: Tensor, passages: Tensor, span: GroupSpan | None = None) -> dict[str, Tensor]:
        """Loss and accuracy of finding one's own second half.

        Args:
            queries: (B, D) float32 of unit length, or (G, B, D): each group by itself.
            passages: of the same shape, of unit length; row i belongs to query i.
            span: the passages of all these processes are compared with, too.

        Returns:
            ``loss``: () float32 with gradient, the mean over all queries; ``contrastive_loss`` the same
            without, in nats; ``contrastive_accuracy``: () share of queries whose own passage is nearest.
        """
        queries, passages = (rows if rows.ndim == 3 else rows[None] for rows in (queries, passages))
        groups, size, _ = queries.shape
        everyones = passages if span is None else span.gather_groups(passages)
        first = 0 if span is None else span.first(size)
        own = torch.arange(first, first + size, device=queries.device).repeat(groups)
        logits = (cosines(queries, everyones) / self.temperature).flatten(0, 1)
        loss = F.cross_entropy(logits, own)
        if self.symmetric:
            everyone = queries if span is None else span.gather_groups(queries)
            back = cosines(everyones[:, first : first + size], everyone) / self.temperature
            loss = (loss + F.cross_entropy(back.flatten(0, 1), own)) / 2
        return {
            "loss": loss,
            "contrastive_loss": loss.detach(),
            "contrastive_accuracy": (logits.argmax(dim=1) == own).float().mean(),
        }

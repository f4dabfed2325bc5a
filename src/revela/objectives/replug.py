"""REPLUG's objective: the retriever learns which chunks help a frozen language model."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel

from revela.modeling.continuations import continuation_log_likelihoods
from revela.objectives.similarity import cosines


class ReplugObjective(nn.Module):
    """KL divergence of the retriever's distribution over the other chunks from the language model's.

    REPLUG LSR (Shi et al., NAACL 2024, arXiv 2301.12652) as a baseline inside a group: the language
    model's distribution is the softmax over j of log p(second part of i | chunk j, first part of i), here
    in nats a token. Only the retriever gets a gradient.

    Args:
        temperature: of the retriever's softmax; 0.1 as in the paper.
        lm_temperature: of the language model's; 0.1 as in the paper.
    """

    def __init__(self, temperature: float = 0.1, lm_temperature: float = 0.1) -> None:
        super().__init__()
        self.temperature = temperature
        self.lm_temperature = lm_temperature

    def forward(
        self,
        lm: PreTrainedModel,
        input_ids: Tensor,
        attention_mask: Tensor,
        continuation: Tensor,
        queries: Tensor,
        passages: Tensor,
    ) -> dict[str, Tensor]:
        """One group's loss.

        Args:
            lm, input_ids, attention_mask: the language model, and (B, L) of the chunks in its tokens.
            continuation: (B, L) token ids of the second parts, -100 elsewhere; a chunk without any counts
                as a document and not as a query.
            queries: (B, D) float32 of unit length, the first parts.
            passages: (B, D) float32 of unit length, the whole chunks.

        Returns:
            ``loss``: () with gradient, mean over queries in nats. Without gradient: ``replug_loss``, the
            same; ``lm_effective_chunks`` = mean exp(entropy) of the language model's distribution.

        Raises:
            ValueError: no chunk has a continuation.
        """
        scored = (continuation[:, 1:] != -100).any(dim=1)
        if not bool(scored.any()):
            raise ValueError("no chunk of the group has a second part: every position is -100")
        own = torch.eye(len(queries), dtype=torch.bool, device=queries.device)
        scores = continuation_log_likelihoods(lm, input_ids, attention_mask, continuation)
        target = (scores / self.lm_temperature).masked_fill(own, -torch.inf).softmax(dim=1)[scored]
        logits = (cosines(queries, passages) / self.temperature).masked_fill(own, -torch.inf)[scored]
        # The own chunk is impossible in both: 0 log(0 / 0), which counts as 0.
        log_retriever = F.log_softmax(logits, dim=1).masked_fill(own[scored], 0.0)
        entropy = torch.special.entr(target).sum(dim=1)
        loss = (-entropy - (target * log_retriever).sum(dim=1)).mean()
        return {
            "loss": loss,
            "replug_loss": loss.detach(),
            "lm_effective_chunks": entropy.exp().mean(),
        }

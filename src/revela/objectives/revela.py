"""Revela's objective: the retriever's similarities decide what the language model may read."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from revela.modeling.conditioned import conditioned_loss
from revela.modeling.group_span import GroupSpan
from revela.modeling.weights import effective_chunks
from revela.objectives.similarity import cosines
from revela.settings import ObjectiveSettings


class RevelaObjective(nn.Module):
    """Conditioned next-token loss of a group under the similarities of its embeddings."""

    def __init__(self, settings: ObjectiveSettings) -> None:
        super().__init__()
        self.settings = settings

    def forward(
        self,
        lm: PreTrainedModel,
        input_ids: Tensor,
        attention_mask: Tensor,
        labels: Tensor,
        queries: Tensor,
        passages: Tensor,
        measure_gain: bool = False,
        span: GroupSpan | None = None,
    ) -> dict[str, Tensor]:
        """One group's loss and what is worth watching about it.

        Args:
            lm: a causal LM from :func:`revela.modeling.load_lm`.
            input_ids, attention_mask, labels: (B, L) of the chunks in the LM's tokens.
            queries: (B, D) float32 of unit length, the first halves.
            passages: (B, D) float32 of unit length, the whole chunks.

            measure_gain: also the plain stream's loss. It needs every chunk's whole plain stream and
                its targets' logits, which the objective itself does not.
            span: the processes over which the group spans; each gives its B chunks, and gets the loss
                whose mean over the processes is the group's.

        Returns:
            ``loss``: () with gradient. Without gradient: ``conditioned_loss`` in nats a token;
            ``effective_chunks`` = mean exp(entropy of a row of w), between 1 and B - 1;
            ``pairs_per_chunk``, how many others a chunk reads on average; ``chunks_read``, how many are
            read by at least one other; ``skipped_weight``, the
            weight of the others that were left out, mean over rows; and if asked for ``plain_loss``
            and ``gain`` = plain - conditioned (what the other chunks gave).
        """
        output = conditioned_loss(
            lm,
            input_ids,
            attention_mask,
            labels,
            cosines(queries, passages if span is None else span.gather(passages)),
            temperature=self.settings.temperature,
            attention=self.settings.attention,
            v_norm=self.settings.v_norm,
            min_weight=self.settings.min_weight,
            top_k=self.settings.top_k if self.settings.attention == "joint" else None,
            return_plain_loss=measure_gain,
            detach_plain_loss=True,
            span=span,
        )
        conditioned = output.loss.detach()
        figures = {
            "loss": output.loss,
            "conditioned_loss": conditioned,
            "effective_chunks": effective_chunks(output.weights.detach()),
            "pairs_per_chunk": output.pairs.float().sum(dim=1).mean(),
            "chunks_read": torch.tensor(float(output.chunks_read)),
            "skipped_weight": output.skipped_weight,
        }
        if measure_gain:
            plain = output.plain_loss.detach()
            figures |= {"plain_loss": plain, "gain": plain - conditioned}
        return figures

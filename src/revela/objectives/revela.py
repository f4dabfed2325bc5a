"""Revela's objective: the retriever's similarities decide what the language model may read."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from revela.modeling.conditioned import conditioned_loss
from revela.modeling.group_span import GroupSpan
from revela.modeling.weights import effective_chunks, entropies
from revela.objectives.similarity import cosines
from revela.settings import ObjectiveSettings


class RevelaObjective(nn.Module):
    """Conditioned next-token loss of groups under the similarities of their embeddings.

    Args:
        settings: attention, temperature and the variants.
        layers: of the language model, needed with ``settings.gate``.

    Attributes:
        gates: (layers,) float32, from 0 on learnt together with the language model; None without
            ``settings.gate``.
    """

    def __init__(self, settings: ObjectiveSettings, layers: int | None = None) -> None:
        super().__init__()
        if settings.gate and layers is None:
            raise ValueError("objective.gate is on: say how many layers the language model has")
        self.settings = settings
        self.gates = None if layers is None or not settings.gate else nn.Parameter(torch.zeros(layers))

    def forward(
        self,
        lm: PreTrainedModel,
        input_ids: Tensor,
        attention_mask: Tensor,
        labels: Tensor,
        queries: Tensor | None,
        passages: Tensor | None,
        measure_gain: bool = False,
        span: GroupSpan | None = None,
        temperature: float | None = None,
        given: Tensor | None = None,
        groups: int = 1,
        lengths: Sequence[int] | None = None,
    ) -> dict[str, Tensor]:
        """The groups' loss and what is worth watching about it, means over the groups.

        Args:
            lm: a causal LM from :func:`revela.modeling.load_lm`.
            input_ids, attention_mask, labels: (G B, L) of the chunks in the LM's tokens.
            queries: (G B, D) float32 of unit length, the first halves.
            passages: (G B, D) float32 of unit length, the whole chunks; with `given` neither is read.
            measure_gain: also the plain stream's loss. It needs every chunk's whole plain stream and
                its targets' logits, which the objective itself does not.
            span: the processes over which the group spans; each gives its B chunks, and gets the loss
                whose mean over the processes is the group's.
            temperature: instead of the settings'.
            given: (G, B, B) float32 similarities instead of the embeddings', such as BM25's.
            groups: G.
            lengths: tokens of every chunk, where they are known; see :func:`conditioned_loss`.

        Returns:
            ``loss``: () with gradient. Without gradient: ``conditioned_loss`` in nats a token;
            ``effective_chunks`` = mean exp(entropy of a row of w), between 1 and B - 1;
            ``pairs_per_chunk``, how many others a chunk reads on average; ``chunks_read``, how many are
            read by at least one other; ``skipped_weight``, the
            weight of the others that were left out, mean over rows; and if asked for or part of the
            loss ``plain_loss`` and ``gain`` = plain - conditioned (what the other chunks gave).
        """
        settings = self.settings
        if given is None:
            assert queries is not None and passages is not None
            given = self._similarities(queries, passages, groups, span)
        output = conditioned_loss(
            lm,
            input_ids,
            attention_mask,
            labels,
            given,
            temperature=temperature or settings.temperature,
            attention=settings.attention,
            v_norm=settings.v_norm,
            min_weight=settings.min_weight,
            top_k=settings.top_k if settings.attention == "joint" else None,
            return_plain_loss=measure_gain or settings.dual_loss,
            detach_plain_loss=not settings.dual_loss,
            span=span,
            uniform_share=settings.uniform_share,
            gates=self.gates,
            renormalise=settings.renormalise,
            lengths=lengths,
        )
        conditioned = output.loss.detach()
        loss = output.loss
        if settings.dual_loss:
            assert output.plain_loss is not None  # asked for above
            loss = loss + output.plain_loss
        if settings.spread_penalty:
            loss = loss + settings.spread_penalty * entropies(output.weights).mean()
        figures = {
            "loss": loss,
            "conditioned_loss": conditioned,
            "effective_chunks": effective_chunks(output.weights.detach()),
            "pairs_per_chunk": output.pairs.float().sum(dim=-1).mean(),
            "chunks_read": output.chunks_read.float() / groups,
            "skipped_weight": output.skipped_weight,
        }
        if output.plain_loss is not None:
            plain = output.plain_loss.detach()
            figures |= {"plain_loss": plain, "gain": plain - conditioned}
        return figures

    def _similarities(self, queries: Tensor, passages: Tensor, groups: int, span: GroupSpan | None) -> Tensor:
        """(G, B, N) float32; symmetric ones are ``(S_ij + S_ji) / 2``."""
        queries, passages = (rows.unflatten(0, (groups, -1)) for rows in (queries, passages))

        def everyones(rows: Tensor) -> Tensor:
            return rows if span is None else span.gather_groups(rows)

        there = cosines(queries, everyones(passages))
        if not self.settings.symmetric:
            return there
        return (there + cosines(passages, everyones(queries))) / 2

"""What one group's forward and backward cost, for the utilisation that is logged."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from torch import Tensor, nn

from revela.settings import Part
from revela.training.flops import matmul_weights, step_flops
from revela.training.model import JointModel


class GroupCost:
    """FLOPs by formula and tokens of a group.

    Args:
        model: counted once, before anything of it is sharded.
    """

    def __init__(self, model: JointModel) -> None:
        self._head = model.causal_lm.get_output_embeddings().weight.numel()
        self._weights = {
            "retriever": matmul_weights(model.retriever),
            "lm": matmul_weights(model.lm) - self._head,
        }
        self._frozen_share = {part: _frozen_share(model, part) for part in ("retriever", "lm")}

    def __call__(
        self, inputs: Mapping[str, Any], figures: Mapping[str, Tensor], trains: Collection[Part]
    ) -> tuple[float, int]:
        """FLOPs and tokens.

        Args:
            inputs: the group as the collator made it.
            figures: what the model returned for it.
            trains: the models that train in this phase.
        """
        tokens = {
            name: int(inputs[name]["attention_mask"].sum())
            for name in ("query", "passage", "view", "rest", "lm")
            if name in inputs
        }
        flops = step_flops(
            self._weights["retriever"],
            sum(count for name, count in tokens.items() if name != "lm"),
            backward="retriever" in trains,
            frozen_share=self._frozen_share["retriever"],
        )
        if "lm" in tokens and "chunks_read" in figures:
            flops += self._language_model(tokens["lm"], len(inputs["lm"]["labels"]), figures, "lm" in trains)
        if "continuation" in inputs:
            chunks, targets = len(inputs["continuation"]), int((inputs["continuation"] != -100).sum())
            # Every chunk is read as a prefix once, and after every chunk; the head sees the latter's targets.
            flops += step_flops(
                self._weights["lm"], (1 + chunks) * tokens["lm"], backward=False, frozen_share=1.0
            )
            flops += step_flops(self._head, chunks * targets, backward=False, frozen_share=1.0)
        return flops, sum(tokens.values())

    def _language_model(self, tokens: int, chunks: int, figures: Mapping[str, Tensor], trains: bool) -> float:
        """The body sees the conditioned streams, with backward even for a frozen LM: the retriever's
        gradient passes through it. It sees the plain ones of the chunks that are read, with backward where
        the LM trains. The head sees the conditioned targets, and the plain ones without backward when the
        gain is measured."""
        measured = "gain" in figures
        plain_share = 1.0 if measured else float(figures["chunks_read"]) / chunks
        frozen = self._frozen_share["lm"] if trains else 1.0
        flops = step_flops(self._weights["lm"], tokens, backward=True, frozen_share=frozen)
        flops += step_flops(self._weights["lm"], plain_share * tokens, backward=trains, frozen_share=frozen)
        flops += step_flops(self._head, tokens, backward=True, frozen_share=1.0)
        if measured:
            flops += step_flops(self._head, tokens, backward=False, frozen_share=1.0)
        return flops


def _frozen_share(model: JointModel, part: Part) -> float:
    """Share of a model's matrix weights that never train."""
    linears = [module for module in getattr(model, part).modules() if isinstance(module, nn.Linear)]
    total = sum(module.weight.numel() for module in linears)
    ever = {id(model.get_parameter(name)) for name in model.trained_state()}
    trained = sum(module.weight.numel() for module in linears if id(module.weight) in ever)
    return 1.0 - trained / total

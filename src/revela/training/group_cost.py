"""What a forward of groups and its backward cost, for the utilisation that is logged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from revela.settings import Part, Phase
from revela.training.flops import matmul_weights, step_flops
from revela.training.model import JointModel


@dataclass
class Cost:
    """What forwards cost; how many chunks were read is known to the device alone until the step's end.

    Attributes:
        tokens: that went through either model once.
        flops: whatever is read.
        flops_a_chunk_read: more for each chunk of a group that at least one other reads.
    """

    tokens: int = 0
    flops: float = 0.0
    flops_a_chunk_read: float = 0.0

    def add(self, other: Cost) -> None:
        """Another forward's."""
        self.tokens += other.tokens
        self.flops += other.flops
        self.flops_a_chunk_read += other.flops_a_chunk_read

    def total(self, chunks_read: float) -> float:
        """FLOPs, when that many chunks of a group were read on average."""
        return self.flops + self.flops_a_chunk_read * chunks_read


class GroupCost:
    """FLOPs by formula and tokens of the groups of a forward.

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

    def __call__(self, inputs: Mapping[str, Any], phase: Phase, measured: bool = False) -> Cost:
        """The cost of one forward and its backward.

        Args:
            inputs: the groups as the collator made them.
            phase: says which models train, and on what.
            measured: the gain is measured, too, which takes the plain stream of every chunk.
        """
        tokens = {
            name: _tokens(inputs[name])
            for name in ("query", "passage", "view", "rest", "lm")
            if name in inputs
        }
        cost = Cost(tokens=sum(tokens.values()))
        cost.flops = step_flops(
            self._weights["retriever"],
            sum(count for name, count in tokens.items() if name != "lm"),
            backward="retriever" in phase.train,
            frozen_share=self._frozen_share["retriever"],
        )
        if "continuation" in inputs:
            chunks = len(inputs["continuation"]) // len(inputs["sizes"])
            targets = int((inputs["continuation"] != -100).sum())
            # Every chunk is read as a prefix once, and after every chunk; the head sees the latter's targets.
            cost.flops += step_flops(
                self._weights["lm"], (1 + chunks) * tokens["lm"], backward=False, frozen_share=1.0
            )
            cost.flops += step_flops(self._head, chunks * targets, backward=False, frozen_share=1.0)
        if "revela" in phase.terms:
            cost.add(self._language_model(tokens["lm"], inputs, measured, "lm" in phase.train))
        return cost

    def _language_model(self, tokens: int, inputs: Mapping[str, Any], measured: bool, trains: bool) -> Cost:
        """The body sees the conditioned streams, with backward even for a frozen LM: the retriever's
        gradient passes through it. It sees the plain ones of the chunks that are read, with backward where
        the LM trains. The head sees the conditioned targets, and the plain ones without backward when the
        gain is measured."""
        frozen = self._frozen_share["lm"] if trains else 1.0
        conditioned = step_flops(self._weights["lm"], tokens, backward=True, frozen_share=frozen)
        plain = step_flops(self._weights["lm"], tokens, backward=trains, frozen_share=frozen)
        head = step_flops(self._head, tokens, backward=True, frozen_share=1.0)
        if measured:
            return Cost(
                flops=conditioned + plain + head
                + step_flops(self._head, tokens, backward=False, frozen_share=1.0)
            )  # fmt: skip
        chunks_a_group = len(inputs["lm"]["labels"]) / len(inputs["sizes"])
        return Cost(flops=conditioned + head, flops_a_chunk_read=plain / chunks_a_group)


def _tokens(batch: Mapping[str, Any]) -> int:
    return sum(batch["lengths"]) if "lengths" in batch else int(batch["attention_mask"].sum())


def _frozen_share(model: JointModel, part: Part) -> float:
    """Share of a model's matrix weights that never train."""
    linears = [module for module in getattr(model, part).modules() if isinstance(module, nn.Linear)]
    total = sum(module.weight.numel() for module in linears)
    ever = {id(model.get_parameter(name)) for name in model.trained_state()}
    trained = sum(module.weight.numel() for module in linears if id(module.weight) in ever)
    return 1.0 - trained / total

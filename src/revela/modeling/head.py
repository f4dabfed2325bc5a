"""Let a language model's head see only what is needed of its inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from transformers import PreTrainedModel


@contextmanager
def head_only_at(lm: PreTrainedModel, positions: Tensor) -> Iterator[None]:
    """Let the LM head see only some of the flattened positions.

    A hook, not a call of the head by ourselves: what a model does to its logits after the head
    stays the model's own code.
    """

    def keep(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        hidden = inputs[0]
        return (hidden.reshape(-1, hidden.shape[-1])[positions], *inputs[1:])

    handle = lm.get_output_embeddings().register_forward_pre_hook(keep)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def in_place_of_head(
    lm: PreTrainedModel, compute: Callable[[Tensor], list[Tensor]]
) -> Iterator[list[Tensor]]:
    """Give the flattened inputs of the LM head, (positions, D), to `compute`, and nothing to the head.

    Within the model's forward and not after it: sharded weights are whole only there.
    """
    results: list[Tensor] = []

    def take(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        hidden = inputs[0].reshape(-1, inputs[0].shape[-1])
        results.extend(compute(hidden))
        return (hidden[:0], *inputs[1:])

    handle = lm.get_output_embeddings().register_forward_pre_hook(take)
    try:
        yield results
    finally:
        handle.remove()

"""The layers of a transformers model, and each of them compiled."""

from __future__ import annotations

import torch
from torch import nn

VERSIONS = 64
"""Of one function's compiled code, at most. torch's own limit of 8 counts both models' layers together, and
beyond it they would silently run as they are."""


def layers_of(model: nn.Module) -> list[nn.Module]:
    """The layers, by the class names that transformers keeps on one device; none where it names none."""
    names = set(getattr(model, "_no_split_modules", None) or ())
    return [module for module in model.modules() if type(module).__name__ in names]


def compile_layers(model: nn.Module, backend: str = "inductor") -> int:
    """Let torch compile each layer, all of them to the same code, for rows of any number and length.

    What a layer does between its products becomes a few kernels. The attention between chunks stays as it
    is (:mod:`revela.modeling.in_batch_attention`). Copies of the model are not compiled.

    Args:
        backend: of torch.compile.

    Returns:
        How many layers.
    """
    torch._dynamo.config.recompile_limit = max(VERSIONS, torch._dynamo.config.recompile_limit)
    layers = layers_of(model)
    for layer in layers:
        # torch gives up a layer that runs by way of a checkpoint, and says nothing: then its parts.
        for module in layer.children() if getattr(layer, "gradient_checkpointing", False) else [layer]:
            module.compile(dynamic=True, backend=backend)
    return len(layers)


def as_they_are() -> torch._dynamo.decorators.set_stance:
    """Where compiled layers run as they are: what is only measured differs from training in grad mode and
    masks, and each difference would be compiled anew."""
    stance: torch._dynamo.decorators.set_stance = torch.compiler.set_stance("force_eager")
    return stance

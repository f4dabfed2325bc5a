"""What is called differently in the versions of transformers that this runs on."""

from __future__ import annotations

from transformers import PreTrainedModel


def checkpoint_activations(model: PreTrainedModel) -> None:
    """Let every layer run again in the backward pass instead of keeping what it computed."""
    # Up to 5.17 only the old name is there; later the old one warns.
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable({"use_reentrant": False})

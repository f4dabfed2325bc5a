"""Adapters around a model, by peft."""

from __future__ import annotations

import re

from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import PreTrainedModel

from revela.errors import RevelaError
from revela.modeling.adapters import shorten_adapters
from revela.settings import LoraSettings

UNUSED = r".*pooler.*"
"""Modules whose output nobody reads: an encoder's own pooler, sentence-transformers pooling by itself."""


def with_lora(model: PreTrainedModel, lora: LoraSettings, task: str) -> nn.Module:
    """The model with LoRA adapters, which alone train.

    Raises:
        RevelaError: it has no such modules.
    """
    unused = any(re.fullmatch(UNUSED, name) for name, _ in model.named_modules())
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.targets,
        exclude_modules=UNUSED if unused else None,
        task_type=task,
    )
    try:
        adapted = get_peft_model(model, config)
    except ValueError as fault:
        raise RevelaError(
            f"training.lora.targets {lora.targets} do not fit a model of type "
            f"'{model.config.model_type}': {fault}\nName modules of that model, or set `targets: all-linear`."
        ) from fault
    shorten_adapters(adapted)
    return adapted

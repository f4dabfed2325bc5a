"""Load any causal LM of transformers so that it answers to in-batch attention, or refuse it."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

from revela.errors import RevelaError
from revela.modeling.in_batch_attention import NAME, InBatch, UnsupportedAttentionError
from revela.modeling.weights import in_batch_log_weights

log = logging.getLogger(__name__)


def load_lm(source: str | Path | PreTrainedConfig, **kwargs) -> PreTrainedModel:
    """A causal LM with our attention implementation, without dropout, probed on one small batch.

    Args:
        source: a folder, a hub id, or a transformers config (random weights).
        **kwargs: passed to ``AutoModelForCausalLM.from_pretrained`` or ``from_config``
            (``dtype``, ``revision``, ...).

    Raises:
        RevelaError: the source cannot be loaded, or the model's layers do not all answer to the
            registered attention function (stablelm, bloom and nemotron ignore it silently), or its
            attention needs something that in-batch attention does not compute.
    """
    kwargs = {**kwargs, "attn_implementation": NAME}
    try:
        if isinstance(source, PreTrainedConfig):
            lm = AutoModelForCausalLM.from_config(source, **kwargs)
        else:
            lm = AutoModelForCausalLM.from_pretrained(source, **kwargs)
    except (OSError, ValueError) as fault:
        raise RevelaError(
            f"language model {source}: cannot be loaded with in-batch attention: {fault}\n"
            "Give a folder with config.json and safetensors, or a hub id that this machine can reach."
        ) from fault
    lm.config.use_cache = False
    _switch_dropout_off(lm)
    _probe(lm)
    return lm


def _switch_dropout_off(lm: PreTrainedModel) -> None:
    """The method has no dropout, and fused attention over pairs could not repeat a mask of it."""
    changed = set()
    for module in lm.modules():
        for name in ("p",) if isinstance(module, nn.Dropout) else ("attention_dropout", "attn_dropout"):
            if isinstance(getattr(module, name, None), float) and getattr(module, name) > 0:
                setattr(module, name, 0.0)
                changed.add(type(module).__name__)
    if changed:
        log.info(
            "language model of type '%s': dropout switched off (%s)",
            lm.config.model_type,
            ", ".join(sorted(changed)),
        )


def _probe(lm: PreTrainedModel) -> None:
    """Run two rows of four tokens and count which layers called our attention."""
    device = next(lm.parameters()).device
    ids = torch.arange(4, device=device).repeat(4, 1) % lm.config.get_text_config().vocab_size
    log_weights = in_batch_log_weights(torch.zeros(2, 2, device=device), 1.0)
    group = InBatch(
        log_weights=log_weights,
        pairs=log_weights.exp() > 0,
        key_mask=torch.ones(2, 4, dtype=torch.bool, device=device),
        attention="paper",
        v_norm=True,
    )
    name = lm.config.model_type
    training = lm.training
    lm.eval()
    try:
        with torch.no_grad():
            lm(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False, in_batch=group)
    except UnsupportedAttentionError as fault:
        raise RevelaError(f"language model of type '{name}' is not supported: {fault}.") from fault
    except TypeError as fault:
        raise RevelaError(
            f"language model of type '{name}' is not supported: its forward does not pass keyword "
            f"arguments on to its attention ({fault})."
        ) from fault
    finally:
        lm.train(training)
    layers = lm.config.get_text_config().num_hidden_layers
    if len(group.answered) != layers:
        raise RevelaError(
            f"language model of type '{name}' is not supported: {len(group.answered)} of its {layers} "
            "layers call the registered attention function, so the retriever would get no gradient "
            "from the others. Choose a model whose layers all use transformers' attention interface "
            "(llama, qwen2, qwen3, mistral, gemma, phi3, smollm3, olmo2, granite, ...)."
        )

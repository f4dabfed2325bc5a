"""Load any causal LM of transformers so that it answers to in-batch attention, or refuse it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

from revela.errors import RevelaError
from revela.modeling.dropout import switch_dropout_off
from revela.modeling.group import Attention, InBatch, plan_pairs, plan_slots
from revela.modeling.in_batch_attention import NAME, UnsupportedAttentionError
from revela.modeling.joint_attention import HeadShape
from revela.modeling.linear_cross_entropy import LogitTransform, find_transform
from revela.modeling.packing import longest_packed
from revela.modeling.rows import Rows
from revela.modeling.unread import modules_run_after, skip_unread_rows
from revela.modeling.weights import in_batch_log_weights

log = logging.getLogger(__name__)

_PROBED = "_revela_probed"


@dataclass(frozen=True)
class Probed:
    """What the probe at load learnt about a model.

    Attributes:
        transform: what follows the head; None when it is neither a scale nor a cap, and then the
            model's own code computes all targets' logits at once.
        heads: size and logit scale of the heads of all layers.
        packs: up to how many tokens a row may have so that rows can lie one after the other; 0 if never.
    """

    transform: LogitTransform | None
    heads: frozenset[HeadShape]
    packs: int


def load_lm(source: str | Path | PreTrainedConfig, **kwargs: Any) -> PreTrainedModel:
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
    name = f"of type '{source.model_type}'" if isinstance(source, PreTrainedConfig) else str(source)
    try:
        if isinstance(source, PreTrainedConfig):
            lm: PreTrainedModel = AutoModelForCausalLM.from_config(source, **kwargs)
        else:
            lm = AutoModelForCausalLM.from_pretrained(source, **kwargs)
    except KeyError as fault:
        raise RevelaError(
            f"language model {name} is not supported: its attention cannot be replaced by name ({fault})."
        ) from fault
    except (OSError, ValueError) as fault:
        raise RevelaError(
            f"language model {name}: cannot be loaded with in-batch attention: {fault}\n"
            "Give a folder with config.json and safetensors, or a hub id that this machine can reach."
        ) from fault
    lm.config.use_cache = False
    switch_dropout_off(lm)
    training = lm.training
    lm.eval()
    attentions = _probe_layers(lm)
    _probe_last_layer(lm, attentions)
    setattr(lm, _PROBED, Probed(_probe_head(lm), _probe_heads(lm), _probe_packing(lm)))
    lm.train(training)
    return lm


def probed(lm: PreTrainedModel) -> Probed:
    """What :func:`load_lm` learnt about this model.

    Raises:
        ValueError: it was not loaded by :func:`load_lm`.
    """
    if lm.config._attn_implementation != NAME or not hasattr(lm, _PROBED):
        raise ValueError(
            f"the LM's attention implementation is '{lm.config._attn_implementation}', so its chunks would "
            "not read each other; load it with revela.modeling.load_lm"
        )
    known: Probed = getattr(lm, _PROBED)
    return known


def _run_probe(lm: PreTrainedModel, group: InBatch) -> Tensor:
    """Two chunks of four tokens that read each other; the logits of all four rows."""
    with torch.no_grad():
        logits: Tensor = lm(input_ids=_probe_ids(lm), use_cache=False, in_batch=group).logits
    return logits


def _probe_ids(lm: PreTrainedModel) -> Tensor:
    """(4, 4): both chunks as plain rows, then as conditioned ones."""
    ids = torch.arange(8, device=next(lm.parameters()).device)
    vocabulary: int = lm.config.get_text_config().vocab_size
    return ids.view(2, 4).repeat(2, 1) % vocabulary


def _probe_group(lm: PreTrainedModel, attention: Attention = "paper", rows: Rows | None = None) -> InBatch:
    device = next(lm.parameters()).device
    log_weights = in_batch_log_weights(torch.zeros(2, 2, device=device), 1.0)
    pairs, row_of = ~log_weights.isneginf(), torch.arange(2, device=device).expand(2, 2)
    key_mask = None if rows is None or rows.mask is None else rows.mask[:2]
    plan = (
        plan_pairs(log_weights, pairs, row_of, key_mask)
        if attention == "paper"
        else plan_slots(log_weights, pairs, row_of, key_mask, slots=1, whole=True)
    )
    return InBatch(plan, v_norm=True, plain_rows=2, rows=rows, keep_plain=True)


def _probe_heads(lm: PreTrainedModel) -> frozenset[HeadShape]:
    """Size and scale of the heads, as the layers ask for their priors."""
    group = _probe_group(lm, "joint")
    _run_probe(lm, group)
    return frozenset(group.heads)


def _probe_packing(lm: PreTrainedModel) -> int:
    """Up to how many tokens rows may lie one after the other, in both forms of attention."""

    def run(attention: Attention, inputs: dict[str, Any], rows: Rows) -> Tensor:
        group = _probe_group(lm, attention, rows)
        group.rows = rows if inputs["attention_mask"].ndim == 4 else None
        logits: Tensor = lm(**inputs, use_cache=False, in_batch=group).logits
        return logits

    forms: tuple[Attention, ...] = ("paper", "joint")
    return min(longest_packed(lm, _probe_ids(lm), partial(run, attention)) for attention in forms)


def _probe_layers(lm: PreTrainedModel) -> list[nn.Module]:
    """The attention modules in the order they answer; a model that does not answer throughout is refused."""
    name = lm.config.model_type
    group = _probe_group(lm)
    try:
        _run_probe(lm, _probe_group(lm, "joint"))
        _run_probe(lm, group)
    except UnsupportedAttentionError as fault:
        raise RevelaError(f"language model of type '{name}' is not supported: {fault}.") from fault
    except Exception as fault:
        raise RevelaError(
            f"language model of type '{name}' is not supported: its forward fails on a probe batch with "
            f"in-batch attention ({type(fault).__name__}: {fault})."
        ) from fault
    layers = lm.config.get_text_config().num_hidden_layers
    if len(group.answered) != layers:
        raise RevelaError(
            f"language model of type '{name}' is not supported: {len(group.answered)} of its {layers} "
            "layers call the registered attention function, so the retriever would get no gradient "
            "from the others. Choose a model whose layers all use transformers' attention interface "
            "(llama, qwen2, qwen3, mistral, gemma, phi3, smollm3, olmo2, granite, ...)."
        )
    return group.answered


def _probe_last_layer(lm: PreTrainedModel, attentions: list[nn.Module]) -> None:
    """Find what runs after the last attention, and leave the unread rows out of it if that works."""
    last = attentions[-1]
    if last in attentions[:-1]:
        return  # layers share their weights: the same modules run in earlier layers, too
    names = {id(module): name for name, module in lm.named_modules()}
    layer = lm.get_submodule(names[id(last)].rpartition(".")[0])
    group = _probe_group(lm)
    with modules_run_after(last, layer, group.answered) as after:
        _run_probe(lm, group)
    whole = _run_probe(lm, _probe_group(lm))
    undo = skip_unread_rows(last, after)
    group = _probe_group(lm)
    group.keep_plain = False
    try:
        skipped = _run_probe(lm, group)
        same = torch.allclose(whole[2:], skipped[2:], rtol=0, atol=1e-2 * float(whole.abs().max()))
    except Exception as fault:  # whatever a model checks its shapes with
        same, reason = False, f"{type(fault).__name__}: {fault}"
    else:
        reason = "the conditioned rows came out different"
    if not same:
        undo()
        log.info(
            "language model of type '%s': the last layer computes unread rows, too (%s)",
            lm.config.model_type,
            reason,
        )


def _probe_head(lm: PreTrainedModel) -> LogitTransform | None:
    """What the model does to its head's output, if that can be done a slice at a time."""
    head = lm.get_output_embeddings()
    seen: list[Tensor] = []
    handle = head.register_forward_hook(lambda _, __, output: seen.append(output))
    try:
        logits = _run_probe(lm, _probe_group(lm))
    finally:
        handle.remove()
    softcap = getattr(lm.config.get_text_config(), "final_logit_softcapping", None)
    found = None
    if isinstance(head, nn.Linear) and len(seen) == 1 and seen[0].shape == logits.shape:
        found = find_transform(seen[0], logits, softcap)
    if found is None:
        log.info(
            "language model of type '%s': its logits are not a scaled or capped linear map, so those of "
            "all targets are held at once",
            lm.config.model_type,
        )
    return found

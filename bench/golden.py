"""The cases that the paper's public implementation computed, run by ours: see tests/data/golden."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from revela.modeling import load_lm
from revela.modeling.conditioned import ConditionedOutput, conditioned_loss


def golden_lm(golden: Path, dtype: torch.dtype) -> PreTrainedModel:
    """The language model of all cases."""
    with tempfile.TemporaryDirectory() as scratch:
        for name in ("config.json", "model.safetensors"):
            shutil.copy(golden / f"llama_{name}", Path(scratch) / name)
        return load_lm(Path(scratch), dtype=dtype)


def run_case(
    lm: PreTrainedModel, inputs: Mapping[str, Tensor], case: Mapping[str, Any], **options: Any
) -> tuple[ConditionedOutput, Tensor]:
    """Loss and gradients of a case; those of the weights are left in the model.

    Args:
        inputs: of ``inputs.safetensors``, where the model is.
        case: ``tau`` and ``disable_v_norm``.
        **options: more of :func:`revela.modeling.conditioned_loss`.

    Returns:
        What that gives, and the gradient of the similarities.
    """
    similarities = inputs["S"].clone().requires_grad_()
    found = conditioned_loss(
        lm,
        inputs["input_ids"],
        inputs["attention_mask"],
        inputs["labels"],
        similarities,
        temperature=case["tau"],
        v_norm=not case["disable_v_norm"],
        **options,
    )
    found.loss.backward()
    return found, similarities.grad


def relative(found: Tensor, wanted: Tensor) -> float:
    """Largest difference, as a share of the largest wanted entry.

    >>> relative(torch.tensor([1.0, 3.0]), torch.tensor([2.0, 4.0]))
    0.25
    """
    return ((found.float() - wanted).abs().max() / wanted.abs().max()).item()

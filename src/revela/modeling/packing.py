"""May a model's rows lie one after the other? Found out on a small batch when it is loaded."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from revela.modeling.rows import Rows, longest_unmasked

log = logging.getLogger(__name__)

LENGTHS = (4, 2)
"""Tokens of the two rows of a probe."""


def longest_packed(model: PreTrainedModel, ids: Tensor, run: Callable[[dict[str, Any], Rows], Tensor]) -> int:
    """Up to how many tokens rows may lie one after the other; 0 where that changes what comes out.

    Args:
        ids: (R, 4) token ids, R a multiple of two.
        run: what the model says to such inputs: (R, L, ...) or (1, T, ...). The rows it is given are those
            that the inputs stand for; it passes them on where the inputs are :meth:`Rows.inputs`.
    """
    longest = longest_unmasked(model.config)
    if longest < ids.shape[1] or "position_ids" not in inspect.signature(model.forward).parameters:
        return 0
    try:
        for lengths in (LENGTHS, (ids.shape[1],) * 2):
            rows = Rows.of(lengths * (len(ids) // 2), ids.device, ids.shape[1])
            mask = torch.ones_like(ids, dtype=torch.bool) if rows.mask is None else rows.mask
            with torch.no_grad():
                padded = run({"input_ids": ids, "attention_mask": mask.long()}, rows)
                packed = run(rows.inputs(ids), rows)
            wanted, found = padded[mask], packed.flatten(0, 1)
            if not torch.allclose(wanted, found, rtol=0, atol=1e-2 * float(wanted.abs().max())):
                raise ValueError("they come out different without")
    except Exception as fault:  # whatever a model does with a mask or with position ids
        reason = f"{type(fault).__name__}: {fault}"
        log.info("model of type '%s': its rows are padded (%s)", model.config.model_type, reason)
        return 0
    return longest

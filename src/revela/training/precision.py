"""Which number format the hardware computes fast in."""

from __future__ import annotations

from typing import Literal

import torch

from revela.training.processes import local_rank

Precision = Literal["auto", "bf16", "fp32"]


def resolve_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """bfloat16 where the device computes it natively, float32 elsewhere, unless one is asked for.

    A CPU without AVX512-BF16 or AMX emulates bfloat16, several times slower than float32.
    """
    if precision == "fp32":
        return torch.float32
    if precision == "bf16":
        return torch.bfloat16
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    elif device.type == "cpu":
        native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    else:
        native = False
    return torch.bfloat16 if native else torch.float32


def default_device() -> torch.device:
    """The GPU with this process's number, which is the first one without torchrun; else the CPU."""
    return torch.device("cuda", local_rank()) if torch.cuda.is_available() else torch.device("cpu")

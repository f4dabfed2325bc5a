"""Which number format the hardware computes fast in."""

from __future__ import annotations

from typing import Literal

import torch

Precision = Literal["auto", "bf16", "fp32"]


def resolve_dtype(precision: Precision, device: torch.device | str) -> torch.dtype:
    """bfloat16 where the device computes it natively, float32 elsewhere, unless one is asked for.

    A CPU without AVX512-BF16 or AMX emulates bfloat16, several times slower than float32.
    """
    if precision != "auto":
        return torch.bfloat16 if precision == "bf16" else torch.float32
    kind = torch.device(device).type
    if kind == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    elif kind == "cpu":
        native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    else:
        native = False
    return torch.bfloat16 if native else torch.float32

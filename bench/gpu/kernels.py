"""What a GPU does during a step: its kernels by kind."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

KINDS = (
    ("attention", r"sdpa|flash|fmha|attention|convert_dq|compute_dot_do_o"),
    ("matrix products", r"gemm|nvjet|cutlass|cublas|splitK|gemv"),
    ("compiled", r"^triton_"),
    ("gathering and scattering", r"gather|indexFunc|index_|scatter"),
    ("copies and casts", r"copy|memcpy|CatArray"),
    ("optimizer", r"multi_tensor"),
    ("norms", r"norm|GammaBeta"),
    ("softmax", r"softmax"),
    ("filling", r"Fill|memset"),
)
"""Kind -> what names of its kernels have in them; the first that fits counts."""


def kind_of(kernel: str) -> str:
    """Of a kernel's name as the profiler gives it.

    >>> kind_of("nvjet_sm90_tst_192x192_64x4_2x1_v_bz_coopB_TNN")
    'matrix products'
    >>> kind_of("void at::native::vectorized_elementwise_kernel<8, at::native::(anonymous namespace)::silu>")
    'other elementwise'
    """
    return next(
        (kind for kind, names in KINDS if re.search(names, kernel, re.IGNORECASE)), "other elementwise"
    )


def kernels_of(step: Callable[[], None]) -> dict[str, Any]:
    """Run a step under torch's profiler.

    Returns:
        ``kernels``, how many; ``busy_ms``, their time together; ``busy_ms_by_kind``, longest first.
    """
    import torch
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as found:
        step()
        torch.cuda.synchronize()
    by_kind: dict[str, float] = {}
    count = 0
    for event in found.key_averages():
        if event.self_device_time_total:
            count += event.count
            kind = kind_of(event.key)
            by_kind[kind] = by_kind.get(kind, 0.0) + event.self_device_time_total / 1e3
    ordered = sorted(by_kind.items(), key=lambda entry: -entry[1])
    return {
        "kernels": count,
        "busy_ms": round(sum(by_kind.values()), 2),
        "busy_ms_by_kind": {kind: round(value, 2) for kind, value in ordered},
    }

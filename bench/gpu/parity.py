"""Does the device compute what the paper's public implementation and a CPU compute?"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.golden import golden_lm, relative, run_case

LOSS_TOLERANCE = 1e-5
GRADIENT_TOLERANCE = 1e-4
"""Of its largest entry, in float32: the tolerances of tests/modeling/test_golden_parity.py."""

EMBEDDING_TOLERANCE = 1e-3
"""Largest difference of an entry of two unit vectors in float32, which differ by the order of summation."""


def golden_rows(golden: Path, device: torch.device) -> Iterator[dict[str, Any]]:
    """One row a golden case, sparse and dense, in float32 and in bfloat16.

    Args:
        golden: a folder like tests/data/golden.

    Returns:
        Rows with ``case``, ``dtype``, the worst relative error of the loss (absolute), of the gradient of
        the similarities and of the weights' gradients; ``within`` in float32, None in bfloat16, which is
        reported only.

    Raises:
        FileNotFoundError: there are no golden cases.
    """
    from safetensors.torch import load_file

    cases = sorted(golden.glob("llama_tau*.json"))
    if not cases:
        raise FileNotFoundError(f"{golden}: no llama_tau*.json")
    inputs = {name: value.to(device) for name, value in load_file(golden / "inputs.safetensors").items()}
    # float32 means float32: no tf32 in matrix products.
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        for path in cases:
            wanted = {
                name: value.to(device) for name, value in load_file(path.with_suffix(".safetensors")).items()
            }
            case = json.loads(path.read_text(encoding="utf-8"))
            for dtype in (torch.float32, torch.bfloat16):
                for min_weight in (0.0, 1e-6):
                    errors = _errors(golden, case, inputs, wanted, dtype, min_weight)
                    within = errors["loss"] <= LOSS_TOLERANCE and all(
                        errors[name] <= GRADIENT_TOLERANCE for name in ("similarities", "weights")
                    )
                    yield {
                        "case": path.stem,
                        "min_weight": min_weight,
                        "dtype": str(dtype).removeprefix("torch."),
                        **{f"{name}_error": float(f"{value:.3g}") for name, value in errors.items()},
                        "within": within if dtype == torch.float32 else None,
                    }
    finally:
        torch.set_float32_matmul_precision(before)


def _errors(
    golden: Path,
    case: Mapping[str, Any],
    inputs: Mapping[str, Tensor],
    wanted: Mapping[str, Tensor],
    dtype: torch.dtype,
    min_weight: float,
) -> dict[str, float]:
    lm = golden_lm(golden, dtype).to(inputs["S"].device)
    found, gradient = run_case(lm, inputs, case, min_weight=min_weight)
    names = [name.removeprefix("grad.") for name in wanted if name.startswith("grad.")]
    return {
        "loss": abs(found.loss.item() - wanted["loss_pass2"].item()),
        "similarities": relative(gradient, wanted["grad_S"]),
        "weights": max(relative(lm.get_parameter(name).grad, wanted[f"grad.{name}"]) for name in names),
    }


def embedding_row(retriever: Path, texts: Sequence[str], device: torch.device) -> dict[str, Any]:
    """A saved retriever's vectors on the device against a CPU's, in float32 and in bfloat16.

    In bfloat16, eight bits a product through all layers, the difference is reported only.

    Args:
        retriever: a sentence-transformers folder.
        texts: read as documents.
    """
    from revela.evaluation.encoding import encode
    from revela.evaluation.loading import load_encoder

    def vectors(where: str, precision: str) -> Tensor:
        encoder = load_encoder(retriever, max_tokens=128, precision=precision, device=where)
        return torch.from_numpy(encode(encoder, texts, "document", 16, "parity"))

    on_cpu = vectors("cpu", "fp32")
    difference = (vectors(str(device), "fp32") - on_cpu).abs().max().item()
    apart = 1.0 - (vectors(str(device), "bf16") * on_cpu).sum(dim=1).min().item()
    return {
        "case": "saved retriever, device against CPU",
        "texts": len(texts),
        "float32_difference": float(f"{difference:.3g}"),
        "bfloat16_one_minus_cosine": float(f"{apart:.3g}"),
        "within": difference <= EMBEDDING_TOLERANCE,
    }

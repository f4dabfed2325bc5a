"""Two trainings compared: every figure of every step, and the retriever that is left."""

from __future__ import annotations

import csv
from collections.abc import Collection
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file


def curve(places: dict[str, Path]) -> list[dict[str, str]]:
    """The steps of a training, by the places that it had."""
    with (places["report_dir"] / "curve.csv").open() as file:
        return list(csv.DictReader(file))


def assert_same_training(
    found: dict[str, Path], wanted: dict[str, Path], tolerance: float, ignored: Collection[str] = ()
) -> None:
    """The curve and the retriever."""
    assert_same_curve(found, wanted, tolerance, ignored)
    assert_same_retriever(found, wanted, tolerance)


def assert_same_curve(
    found: dict[str, Path], wanted: dict[str, Path], tolerance: float, ignored: Collection[str] = ()
) -> None:
    """Every figure of every step: losses, gain, accuracy, learning rates, norms before clipping."""
    for row, reference in zip(curve(found), curve(wanted), strict=True):
        assert (row["step"], row["phase"]) == (reference["step"], reference["phase"])
        for name in row.keys() - {"step", "phase", *ignored}:
            assert bool(row[name]) == bool(reference[name]), f"step {row['step']}: {name}"
            if row[name]:
                assert float(row[name]) == pytest.approx(
                    float(reference[name]), rel=tolerance, abs=tolerance
                ), f"step {row['step']}: {name}"


def assert_same_retriever(found: dict[str, Path], wanted: dict[str, Path], tolerance: float) -> None:
    """No weight of the last retriever is further apart than `tolerance`."""
    weights, reference = (
        load_file(places["models_dir"] / "retriever" / "model.safetensors") for places in (found, wanted)
    )
    assert weights.keys() == reference.keys()
    for name in weights:
        torch.testing.assert_close(weights[name], reference[name], rtol=0, atol=tolerance)

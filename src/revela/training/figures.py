"""The figures of a step's forwards, read back from the device at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

FROM_MODEL = (
    "conditioned_loss", "plain_loss", "gain", "effective_chunks", "pairs_per_chunk", "chunks_read",
    "skipped_weight", "contrastive_loss", "contrastive_accuracy", "replug_loss", "lm_effective_chunks",
    "start_distance", "gradient_contrastive", "gradient_revela",
)  # fmt: skip
FROM_DATA = ("lm_tokens_cut_share",)


class StepFigures:
    """Collects what every forward of a step says; nothing waits for the device until :meth:`read`.

    Attributes:
        documents: of every group of every forward, for messages.
    """

    def __init__(self) -> None:
        self._tensors: list[tuple[str, Tensor]] = []
        self._numbers: dict[str, list[float]] = {}
        self.documents: list[Sequence[str]] = []

    def add(
        self,
        outputs: Mapping[str, Tensor],
        numbers: Mapping[str, float],
        documents: Sequence[Sequence[str]] = (),
    ) -> None:
        """What a forward says: ``loss`` and any of :data:`FROM_MODEL`, and what its data says."""
        for key in ("loss", *FROM_MODEL):
            if key in outputs:
                self._tensors.append((key, outputs[key].detach()))
        for key, value in numbers.items():
            self._numbers.setdefault(key, []).append(value)
        self.documents += documents

    def read(self, **more: Tensor) -> tuple[dict[str, float], dict[str, float]]:
        """Means over the forwards, and `more` as they are, all () tensors of one device; then begin anew."""
        values: dict[str, list[float]] = {key: list(found) for key, found in self._numbers.items()}
        tensors = [*self._tensors, *more.items()]
        if tensors:
            device = tensors[0][1].device
            together = torch.stack([tensor.to(device, torch.float32) for _, tensor in tensors]).tolist()
            for (key, _), value in zip(tensors, together, strict=True):
                values.setdefault(key, []).append(value)
        extra = {key: values.pop(key)[0] for key in more}
        means = {key: sum(found) / len(found) for key, found in values.items()}
        ordered = {key: means[key] for key in ("loss", *FROM_MODEL, *FROM_DATA) if key in means}
        self._tensors, self._numbers = [], {}
        return ordered, extra

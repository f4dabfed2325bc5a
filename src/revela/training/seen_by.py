"""Which pairs look alike to a retriever, so that it is trained on what it takes for one another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from revela.files import explain_full_disk, settle
from revela.modeling.encoder import tokenizer_of
from revela.modeling.layers import as_they_are
from revela.modeling.retriever import Retriever
from revela.pairs.pair import Pair
from revela.training import processes
from revela.training.vectors import vectors_of

_TOKENS = 32
"""Of a query after its prompt: what it is about stands at its beginning, and every one is looked at."""


class SeenBy:
    """Where a retriever, as it is now, sees pairs: where their queries are.

    To look at passages, too, takes four times as long, and what was found with them taught no more.

    They are computed once, by the first process, and kept: others, and a training that goes on, must draw
    the same pairs in the same order, and a vector's last digits differ from machine to machine.

    Args:
        folder: for one file a kind of pair; their owner deletes them.
        device: where to encode; the retriever is back where it was afterwards.
    """

    def __init__(self, retriever: Retriever, folder: Path, device: torch.device) -> None:
        self._retriever, self._folder, self._device = retriever, folder, device

    def __call__(self, pairs: Sequence[Pair], seed: int) -> np.ndarray:
        """(pairs, D) float32 of these, which are of one kind and the same ones in every call for it."""
        path = self._folder / f"{pairs[0].kind}.npy"
        if processes.is_first() and not path.is_file():
            before = next(self._retriever.parameters()).device
            self._retriever.to(self._device)
            points = self._encoded([pair.query for pair in pairs])
            self._retriever.to(before)
            with explain_full_disk(self._folder):
                self._folder.mkdir(parents=True, exist_ok=True)
                partial = path.with_suffix(".partial.npy")
                np.save(partial, points)
                settle(partial, path)
        processes.wait()
        return np.load(path)

    def _encoded(self, queries: list[str]) -> np.ndarray:
        encoder = self._retriever.encoder
        prompt = tokenizer_of(encoder)(encoder.prompts["query"], add_special_tokens=False)["input_ids"]
        with as_they_are():
            vectors = vectors_of(
                self._retriever, queries, "query", self._retriever,
                device=self._device, description="looking for hard pairs", most=len(prompt) + _TOKENS,
            )  # fmt: skip
        return vectors.numpy()

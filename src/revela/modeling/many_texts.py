"""Many texts through encoders: little padding, and on a CPU one batch a core at the same time."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from revela.modeling.batch import sizes_within
from revela.processes import cores
from revela.progress import track

Features = dict[str, Any]
"""A batch of texts as sentence-transformers' modules pass it on: ``input_ids`` (n, L) and the like."""

CPU_TOKENS = 1280
"""Tokens of one forward on a CPU. Its activations then stay in the cache of a core, and two forwards of one
thread each beside each other take 0.71 of the time of one after the other with two threads
(bench/results/encode.md)."""


def encode_many(
    texts: Sequence[str],
    preprocess: Callable[[list[str]], Features],
    forward: Callable[[Features], Sequence[Tensor]],
    *,
    device: torch.device,
    batch_size: int,
    description: str,
) -> list[Tensor]:
    """Vectors of all texts, in their order, from one or several encoders that share a forward.

    Args:
        texts: at least one.
        preprocess: at most `batch_size` texts to features, without a device; called from one thread.
        forward: features on `device` to (n, D) of each encoder; on a CPU called from several threads.
        batch_size: texts of one forward at most; on a CPU :data:`CPU_TOKENS` is a limit, too.
        description: begins every report of progress.

    Returns:
        (texts, D) float32 on the CPU for each encoder.
    """
    # Longest first: batches waste little padding, and a batch too large for the memory fails at once.
    order = sorted(range(len(texts)), key=lambda index: (-len(texts[index]), index))
    batches = (order[start : start + batch_size] for start in range(0, len(order), batch_size))
    pieces = (piece for batch in batches for piece in _pieces(batch, texts, preprocess, device))
    found: list[Tensor] = []
    done = track(
        _forwards(pieces, forward, device), description, total=len(texts), size=lambda one: len(one[0])
    )
    for indices, outputs in done:
        if not found:
            found = [torch.empty(len(texts), one.shape[1]) for one in outputs]
        for vectors, rows in zip(found, outputs, strict=True):
            vectors[indices] = rows
    return found


def _pieces(
    batch: list[int], texts: Sequence[str], preprocess: Callable[[list[str]], Features], device: torch.device
) -> Iterator[tuple[list[int], Features]]:
    """A batch as it is on a GPU; on a CPU cut where it has more than :data:`CPU_TOKENS`."""
    features = preprocess([texts[index] for index in batch])
    mask: Tensor | None = features.get("attention_mask")
    # Rows can be told apart only where everything has one row a text and one column a token.
    alike = mask is not None and all(
        value.shape == mask.shape for value in features.values() if isinstance(value, Tensor)
    )
    if device.type != "cpu" or mask is None or not alike or len(mask) != len(batch):
        yield batch, features
        return
    lengths = mask.sum(dim=1).tolist()
    rows = sorted(range(len(batch)), key=lambda row: -lengths[row])
    for size in sizes_within([lengths[row] for row in rows], CPU_TOKENS):
        chosen, rows = rows[:size], rows[size:]
        used = mask[chosen].any(dim=0)
        piece = {
            key: value[chosen][:, used] if isinstance(value, Tensor) else value
            for key, value in features.items()
        }
        yield [batch[row] for row in chosen], piece


def _forwards(
    pieces: Iterable[tuple[list[int], Features]],
    forward: Callable[[Features], Sequence[Tensor]],
    device: torch.device,
) -> Iterator[tuple[list[int], list[Tensor]]]:
    """Every piece with what comes out of it, in their order."""

    @torch.no_grad()  # which is a matter of each thread
    def run(features: Features) -> list[Tensor]:
        there = {
            key: value.to(device) if isinstance(value, Tensor) else value for key, value in features.items()
        }
        return [one.float().cpu() for one in forward(there)]

    workers = cores() if device.type == "cpu" else 1
    if workers == 1:
        for indices, features in pieces:
            yield indices, run(features)
        return
    waiting: deque[tuple[list[int], Future[list[Tensor]]]] = deque()
    with _one_thread_each(), ThreadPoolExecutor(workers) as pool:
        try:
            for indices, features in pieces:
                waiting.append((indices, pool.submit(run, features)))
                if len(waiting) > 2 * workers:
                    indices, result = waiting.popleft()
                    yield indices, result.result()
            while waiting:
                indices, result = waiting.popleft()
                yield indices, result.result()
        finally:
            pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _one_thread_each() -> Iterator[None]:
    """Torch computes with one thread in every thread of this process, until the end of the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)

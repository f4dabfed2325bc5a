"""Before the first phase: whiten the retriever on chunks of the training groups."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from torch import Tensor

from revela.groups.reading import Groups
from revela.modeling.retriever import Kind, Retriever
from revela.modeling.whitening import fit_whitening
from revela.settings import WhiteningSettings
from revela.training.vectors import vectors_of

log = logging.getLogger(__name__)


def save_whitened(
    retriever_dir: Path,
    groups: Groups,
    settings: WhiteningSettings,
    out_dir: Path,
    *,
    device: torch.device,
    dtype: torch.dtype,
) -> None:
    """Write the retriever with a whitening module after its pooling, a sentence-transformers folder.

    The sample is one chunk of each group in turn, its query as a query and the whole chunk as a passage:
    both kinds are compared later, so both are whitened together.

    Args:
        retriever_dir: the retriever as prepare_backbone leaves it.
        dtype: the precision that the transformer computes in; pooling and statistics are float32 and more.
    """
    retriever = Retriever(retriever_dir, dtype=dtype).to(device)
    count = min(settings.chunks, len(groups) * groups.group_size)
    log.info("whitening the retriever on %d chunks", count)
    sample = [
        groups[index % len(groups)][(index + index // len(groups)) % groups.group_size]
        for index in range(count)
    ]
    vectors = torch.cat(
        [
            pooled(retriever, [chunk.query for chunk in sample], "query", device),
            pooled(retriever, [chunk.passage for chunk in sample], "document", device),
        ]
    )
    # What is saved are the weights as they came, and not as they were rounded to compute with.
    whitened = Retriever(retriever_dir)
    whitened.insert_after_pooling(*fit_whitening(vectors, settings.floor))
    whitened.save(out_dir)


def pooled(retriever: Retriever, texts: list[str], kind: Kind, device: torch.device) -> Tensor:
    """(N, D) float32 on the CPU, in the order of `texts`."""
    return vectors_of(retriever, texts, kind, retriever.pooled, device=device, description="whitening")

"""Many texts through the retriever as training reads them, without a gradient."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from revela.modeling.many_texts import Features, encode_many
from revela.modeling.retriever import Kind, Retriever

_TEXTS_AT_A_TIME = 32


def vectors_of(
    retriever: Retriever,
    texts: list[str],
    kind: Kind,
    forward: Callable[..., Tensor],
    *,
    device: torch.device,
    description: str,
    most: int | None = None,
) -> Tensor:
    """(N, D) float32 on the CPU, in the order of `texts`.

    Args:
        forward: of `retriever`, which is on `device`: ids and mask to what is wanted of a text.
        description: begins every report of progress; the kind is added.
        most: tokens of a text, fewer than otherwise.
    """

    def tokenized(some: list[str]) -> Features:
        batch = retriever.tokenize(some, kind, most)
        return {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}

    (vectors,) = encode_many(
        texts,
        tokenized,
        lambda features: [forward(**features)],
        device=device,
        batch_size=_TEXTS_AT_A_TIME,
        description=f"{description}, {kind}",
    )
    return vectors

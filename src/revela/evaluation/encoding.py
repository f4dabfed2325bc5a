"""Texts to unit vectors, by one encoder or by several that share a transformer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor

from revela.errors import RevelaError
from revela.evaluation.vector_cache import VectorCache
from revela.modeling.many_texts import Features, encode_many

Role = Literal["query", "document"]
Encode = Callable[[Sequence[SentenceTransformer], Sequence[str], Role, int, str], list[np.ndarray]]
"""Models that share their first module, texts, their role, texts a forward, and words for progress reports
to the models' vectors: :func:`encode_together`, or what has a cache before it."""

# Texts encoded before their vectors are kept: minutes on two cores.
PIECE = 8192
# Names of prompts, the first that a model has: sentence-transformers' own order.
_PROMPTS: dict[Role, tuple[str, ...]] = {"query": ("query",), "document": ("document", "passage", "corpus")}


def encode(
    model: SentenceTransformer, texts: Sequence[str], role: Role, batch_size: int, description: str
) -> np.ndarray:
    """Unit vectors of texts in the model's query or document prompt.

    Returns:
        (texts, dimensions) float32, rows of norm 1 in the order of `texts`.

    Raises:
        RevelaError: a vector is not finite.
    """
    return encode_together([model], texts, role, batch_size, description)[0]


def encode_together(
    models: Sequence[SentenceTransformer], texts: Sequence[str], role: Role, batch_size: int, description: str
) -> list[np.ndarray]:
    """The same for several models that share their first module, its forward and their prompts."""
    first = models[0]
    names = (name for name in _PROMPTS[role] if name in first.prompts)
    prompt = first.prompts.get(next(names, first.default_prompt_name or ""))

    def forward(features: Features) -> list[Tensor]:
        if len(models) == 1:
            return [_finite(first, first(features, task=role))]
        shared = first[0](features)
        # Poolings may write into what they are given.
        copies = ({**shared, "token_embeddings": shared["token_embeddings"].clone()} for _ in models)
        return [_finite(model, _after_first(model, one)) for model, one in zip(models, copies, strict=True)]

    def _finite(model: SentenceTransformer, features: Features) -> Tensor:
        vectors = features["sentence_embedding"][:, : model.truncate_dim]
        if not torch.isfinite(vectors).all():
            raise RevelaError(
                f"{description}: the model gives vectors that are not finite. If precision is bf16, try "
                "`evaluate.precision: fp32`; if that does not help, training diverged."
            )
        return vectors

    rows = encode_many(
        texts,
        lambda some: first.preprocess(some, prompt=prompt, task=role),
        forward,
        device=first.device,
        batch_size=batch_size,
        description=description,
    )
    # Again, in float32: a vector normalised in bfloat16 has a norm off by up to 0.4 %.
    return [
        one / np.linalg.norm(one, axis=1, keepdims=True).clip(min=1e-12) for one in map(Tensor.numpy, rows)
    ]


def encode_with_cache(
    cache: VectorCache,
    keys: Sequence[str],
    models: Sequence[SentenceTransformer],
    texts: Sequence[str],
    role: Role,
    batch_size: int,
    description: str,
) -> list[np.ndarray]:
    """As :func:`encode_together`, but only what the cache lacks; it has that from then on.

    Args:
        keys: of each model, standing for all but the text and its role that decides a vector.
    """
    known = [cache.read(f"{key}-{role}", texts) for key in keys]
    missing = [index for index in range(len(texts)) if not all(index in one for one in known)]
    for start in range(0, len(missing), PIECE):
        indices = missing[start : start + PIECE]
        part = f" from {start + 1}" if len(missing) > PIECE else ""
        some = [texts[index] for index in indices]
        new = encode_together(models, some, role, batch_size, f"{description}{part}")
        for key, one, vectors in zip(keys, known, new, strict=True):
            cache.write(f"{key}-{role}", some, vectors)
            one.update(zip(indices, vectors, strict=True))
    return [np.stack([one[index] for index in range(len(texts))]) for one in known]


def _after_first(model: SentenceTransformer, features: Features) -> Features:
    for module in list(model)[1:]:
        features = module(features)
    return features


def _unit(vectors: np.ndarray) -> np.ndarray:
    # Again, in float32: a vector normalised in bfloat16 has a norm off by up to 0.4 %.
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(min=1e-12)

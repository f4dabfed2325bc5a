"""Whitening: a linear map after pooling that spreads a pretrained model's vectors over all directions.

Vectors pooled from a causal language model lie in a narrow cone: a few directions hold nearly all of their
variance, and cosines say little. Mean and covariance of unlabelled texts of the corpus are all it takes
to undo that (Su et al. 2021, arXiv 2103.15316), in seconds and before the first step of training.
"""

from __future__ import annotations

import torch
from sentence_transformers.sentence_transformer.modules import Dense
from torch import Tensor, nn


def fit_whitening(vectors: Tensor, floor: float) -> tuple[Tensor, Tensor]:
    """Mean and whitening matrix of vectors.

    W = V diag((lambda + floor * lambda_max)^(-1/2)) with the covariance's eigenvectors V and eigenvalues
    lambda: Su et al.'s map, with a floor under the variances, for those of the last directions are noise
    when texts are few.

    Args:
        vectors: (N, D), pooled and not normalised.
        floor: share of the largest variance that is added to every direction's.

    Returns:
        (D,) and (D, D) float64; ``(x - mean) @ matrix`` is whitened.

    Raises:
        ValueError: fewer than two vectors, or vectors that are not finite.
    """
    if len(vectors) < 2 or not torch.isfinite(vectors).all():
        raise ValueError(f"expected at least two finite vectors, found {len(vectors)}")
    vectors = vectors.double()
    mean = vectors.mean(dim=0)
    centred = vectors - mean
    variances, directions = torch.linalg.eigh(centred.T @ centred / len(centred))
    variances = variances.clamp(min=0) + floor * variances[-1]
    return mean, directions * variances.clamp(min=torch.finfo(torch.float64).tiny).rsqrt()


def whitening_module(mean: Tensor, matrix: Tensor) -> Dense:
    """The map as a sentence-transformers module, so that a saved model needs none of our code.

    Args:
        mean, matrix: (D,) and (D, D) as :func:`fit_whitening` gives them.

    Returns:
        (N, D) to (N, D) float32. It must be fed float32: the mean is large against the differences that
        the map enlarges, and bfloat16 rounds them away.
    """
    return Dense(
        in_features=len(mean),
        out_features=matrix.shape[1],
        activation_function=nn.Identity(),
        init_weight=matrix.T.float().contiguous(),
        init_bias=-(mean @ matrix).float(),
    )

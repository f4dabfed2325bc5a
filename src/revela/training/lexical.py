"""BM25 in place of the retriever's similarities: weights that are right from the first step."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from revela.batches.relatedness import Bm25
from revela.batches.schema import Chunk
from revela.batches.words import count_words


def bm25_similarities(chunks: Sequence[Chunk]) -> Tensor:
    """How much the first part of chunk i has in common with chunk j.

    BM25 made a cosine (:mod:`revela.batches.relatedness`), so that one temperature serves these and the
    retriever's similarities. What is rare is told by the chunks of the group alone.

    Returns:
        (B, B) float32 between 0 and 1.
    """
    queries = count_words([[chunk.query for chunk in chunks]])
    passages = count_words([[chunk.text for chunk in chunks]])
    scorer = Bm25.of(passages)
    return torch.from_numpy((scorer.vectors(queries) @ scorer.vectors(passages).T).toarray())

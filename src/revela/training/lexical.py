"""BM25 in place of the retriever's similarities: weights that are right from the first step."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from revela.groups.relatedness import Bm25
from revela.groups.word_counts import count_words


def bm25_similarities(queries: Sequence[str], passages: Sequence[str]) -> Tensor:
    """How much query i has in common with passage j.

    BM25 made a cosine (:mod:`revela.groups.relatedness`), so that one temperature serves these and the
    retriever's similarities. What is rare is told by the passages of the group alone.

    Returns:
        (B, B) float32 between 0 and 1.
    """
    asked, read = count_words([list(queries)]), count_words([list(passages)])
    scorer = Bm25.of(read)
    return torch.from_numpy((scorer.vectors(asked) @ scorer.vectors(read).T).toarray())

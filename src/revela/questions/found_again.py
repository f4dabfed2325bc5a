"""Does a question find the passage that it was written for? (InPars, Promptagator: arXiv 2209.11755)"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from revela.evaluation.encoding import Role, encode_with_cache
from revela.evaluation.loading import default_device, encoder_digest, load_encoder
from revela.evaluation.vector_cache import VectorCache
from revela.modeling.precision import resolve_dtype

_BATCH = 32
_QUERIES_AT_ONCE = 1024


def ranks_of(
    questions: Sequence[str],
    passages: Sequence[str],
    retriever_dir: Path,
    max_tokens: int,
    cache: VectorCache,
) -> np.ndarray:
    """Where each question's own passage stands among all passages: 0 is first; ties count against it.

    Args:
        questions: none empty; `passages` in the same order.
        retriever_dir: a saved sentence-transformers model.
        max_tokens: read of a text.

    Returns:
        (questions,) int.

    Raises:
        RevelaError: the retriever cannot be loaded or reads fewer tokens.
    """
    device = default_device()
    model = load_encoder(retriever_dir, max_tokens=max_tokens, device=device)
    keys = [encoder_digest(retriever_dir, resolve_dtype("auto", device), max_tokens, device)]

    def encode(texts: Sequence[str], role: Role) -> np.ndarray:
        return encode_with_cache(cache, keys, [model], texts, role, _BATCH, f"questions, {role} vectors")[0]

    asked, found = encode(questions, "query"), encode(passages, "document")
    ranks = np.empty(len(questions), dtype=np.int64)
    for start in range(0, len(questions), _QUERIES_AT_ONCE):
        rows = np.arange(start, min(start + _QUERIES_AT_ONCE, len(questions)))
        scores = asked[rows] @ found.T
        own = scores[np.arange(len(rows)), rows]
        ranks[rows] = (scores >= own[:, None]).sum(axis=1) - 1
    return ranks

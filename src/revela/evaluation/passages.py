"""Long documents as several passages, of which the best one counts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from transformers import PreTrainedTokenizerBase

from revela.errors import RevelaError

OVERLAP = 0.25
"""Share of a passage that the next one repeats, so that what is asked for is whole in one of them."""


def split_passages(tokenizer: PreTrainedTokenizerBase, text: str, tokens: int) -> list[str]:
    """Stretches of at most `tokens` tokens, the whole text among them; one for a short text.

    Raises:
        RevelaError: the tokenizer does not tell where its tokens lie.
    """
    if not tokenizer.is_fast:
        raise RevelaError(
            f"evaluate.long_documents: best_passage needs a tokenizer that tells where its tokens lie; "
            f"{type(tokenizer).__name__} does not. Use `truncate`."
        )
    spans = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    offsets = spans["offset_mapping"]
    if len(offsets) <= tokens:
        return [text]
    step = max(1, round(tokens * (1 - OVERLAP)))
    starts = range(0, len(offsets) - tokens + step, step)
    return [text[offsets[at][0] : offsets[min(at + tokens, len(offsets)) - 1][1]] for at in starts]


def best_of_each(scores: np.ndarray, counts: Sequence[int]) -> np.ndarray:
    """(queries, passages) scores to (queries, documents): the largest of each document's passages.

    Args:
        counts: passages of each document, at least 1, in the order of the columns.

    >>> best_of_each(np.array([[0.1, 0.7, 0.3]]), [2, 1])
    array([[0.7, 0.3]])
    """
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    return np.maximum.reduceat(scores, starts, axis=1)

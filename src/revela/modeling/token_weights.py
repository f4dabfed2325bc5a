"""How much a token counts in mean pooling: by how few texts of the corpus have it.

A plain mean lets brackets, keywords and blanks decide, for most tokens are that. Weighting each by its
inverse document frequency is what BM25 does for words, and Arora et al. (ICLR 2017, "A simple but
tough-to-beat baseline for sentence embeddings") for means of word vectors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import cast

import numpy as np
from sentence_transformers.sentence_transformer.modules import WordWeights
from transformers import PreTrainedTokenizerBase

_TEXTS_AT_A_TIME = 1000


def inverse_document_frequencies(tokenizer: PreTrainedTokenizerBase, texts: Iterable[str]) -> np.ndarray:
    """Each token's weight ``ln(1 + (N - n + 0.5) / (n + 0.5))``, n of the N texts having it.

    The form of Robertson and Sparck Jones that Lucene's BM25 uses, which is never negative. A token that
    no text has gets the largest weight, a special one hardly any: the tokenizer puts it into every text.

    Args:
        texts: without prompts or special tokens, at least one.

    Returns:
        (tokens of the tokenizer,) float64, by token id.

    Raises:
        ValueError: no texts.
    """
    having: Counter[int] = Counter()
    total = 0
    batch: list[str] = []

    def count() -> None:
        for ids in tokenizer(batch, add_special_tokens=False, verbose=False)["input_ids"]:
            having.update(set(ids))
        batch.clear()

    for text in texts:
        total += 1
        batch.append(text)
        if len(batch) == _TEXTS_AT_A_TIME:
            count()
    if not total:
        raise ValueError("expected at least one text to count tokens in")
    if batch:
        count()
    counts = np.zeros(len(tokenizer))
    counts[list(having)] = list(having.values())
    counts[tokenizer.all_special_ids] = total
    return np.log1p((total - counts + 0.5) / (counts + 0.5))


def token_weights_module(tokenizer: PreTrainedTokenizerBase, weights: np.ndarray) -> WordWeights:
    """The weights as a sentence-transformers module, to stand between the transformer and its pooling.

    Args:
        weights: (tokens of the tokenizer,) by token id.
    """
    # A list of ids gives a list of tokens, which the library's annotation does not say.
    vocabulary = cast(list[str], tokenizer.convert_ids_to_tokens(list(range(len(tokenizer)))))
    # Above 0, so that a text of special tokens alone still has a mean.
    by_token = {
        token: max(round(float(weight), 6), 1e-6) for token, weight in zip(vocabulary, weights, strict=True)
    }
    return WordWeights(vocabulary, by_token)

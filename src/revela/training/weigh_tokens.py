"""Before the first phase: let rare tokens count more in the retriever's mean."""

from __future__ import annotations

import logging
from pathlib import Path

from revela.errors import RevelaError
from revela.groups.reading import Groups
from revela.modeling.encoder import tokenizer_of
from revela.modeling.retriever import Retriever
from revela.modeling.token_weights import inverse_document_frequencies

log = logging.getLogger(__name__)

_CHUNKS_COUNTED = 100_000
"""Enough for frequencies that decide anything, in about ten seconds."""


def save_weighted(retriever_dir: Path, groups: Groups, power: float, out_dir: Path) -> None:
    """Write the retriever with a module of token weights before its pooling, a sentence-transformers folder.

    Args:
        retriever_dir: a sentence-transformers folder.
        power: of a token's inverse document frequency in the chunks. 1 is what BM25 does; an encoder that has
            learnt which tokens count needs less.

    Raises:
        RevelaError: its pooling is no mean, or weighs tokens already.
    """
    retriever = Retriever(retriever_dir)
    if not retriever.averages_evenly:
        raise RevelaError(
            "training.token_weights weighs the tokens of a mean in which all count alike, but the "
            "retriever's pooling is none such. Set token_weights: null, or auto, which then leaves it; for a "
            "bare language model set backbone.retriever.pooling: mean."
        )
    counted = min(len(groups), max(1, _CHUNKS_COUNTED // groups.group_size))
    log.info("weighting tokens by their frequency in %d chunks", counted * groups.group_size)
    texts = (chunk.text for number in range(counted) for chunk in groups[number])
    retriever.weigh_tokens(inverse_document_frequencies(tokenizer_of(retriever.encoder), texts) ** power)
    retriever.save(out_dir)

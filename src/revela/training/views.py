"""The two texts that the contrastive term brings together, in the ways of Contriever.

Izacard et al., Unsupervised Dense Information Retrieval with Contrastive Learning (TMLR 2022).
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from revela.chunks.chunk import Chunk, with_title
from revela.settings import Phase
from revela.training.group_slice import StepChunks
from revela.words import token_spans

SHORTEST, LONGEST = 0.1, 0.5
"""Share of a text's words that a crop has: `ratio_min` and `ratio_max` of Contriever's published recipe."""


def contrastive_views(step: StepChunks, views: str, seed: int) -> Iterator[tuple[str, str]]:
    """Query and passage text of every chunk; passages stand below their titles, as when searched later.

    Args:
        views: ``halves``: the first and the second part of the chunk. ``crops``: two stretches of it, each
            of random length and place, so that they may overlap. ``document``: the chunk's first part and
            another chunk of its document.
        seed: of the crops; they differ from one turn through the corpus to the next.
    """
    if views == "document":
        for chunk, partner in zip(step.chunks, step.partners, strict=True):
            yield chunk.query, partner.passage
        return
    for chunk in step.chunks:
        if views == "halves":
            yield chunk.query, with_title(chunk.passage_title, chunk.text[chunk.query_end :])
        else:
            draw = random.Random(f"{seed} {step.turn} {chunk.chunk_id}")
            query, passage = crop(chunk, draw), crop(chunk, draw)
            yield query, with_title(chunk.passage_title, passage)


def crop(chunk: Chunk, draw: random.Random) -> str:
    """A stretch of whole words: 0.1 to 0.5 of them, at least one."""
    words = token_spans(chunk.text)
    length = max(1, round(len(words) * draw.uniform(SHORTEST, LONGEST)))
    first = draw.randint(0, len(words) - length)
    return chunk.text[words[first][0] : words[first + length - 1][1]]


def needs_query(phase: Phase) -> bool:
    """Whether anything reads the first parts of the chunks as queries."""
    halves = "contrastive" in phase.terms and phase.views == "halves"
    return halves or "replug" in phase.terms or _reads_similarities(phase)


def needs_passage(phase: Phase) -> bool:
    """Whether anything reads whole chunks as passages."""
    return "replug" in phase.terms or (_reads_similarities(phase) and phase.rows == "chunks")


def needs_rest(phase: Phase) -> bool:
    """Whether anything reads what follows the first parts as passages."""
    return "contrastive" in phase.terms or (_reads_similarities(phase) and phase.rows == "parts")


def _reads_similarities(phase: Phase) -> bool:
    return "revela" in phase.terms and phase.weights == "retriever"

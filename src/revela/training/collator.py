"""Groups of chunks to tensors: the retriever's views with its tokenizer, the chunks with the LM's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import get_worker_info
from transformers import PreTrainedTokenizerBase

from revela.chunks.chunk import Chunk
from revela.errors import RevelaError
from revela.modeling.retriever import Retriever
from revela.processes import tokenize_in_one_thread
from revela.settings import Phase
from revela.training.group_slice import StepChunks
from revela.training.lexical import bm25_similarities
from revela.training.views import contrastive_views, needs_passage, needs_query, needs_rest


@dataclass
class GroupCollator:
    """Turn groups into the inputs of the terms that a phase uses; nothing else is tokenised.

    Text goes in, not token ids of one tokenizer: retriever and LM may have different ones, and the
    retriever's prefix and ``<eos>`` are added by the very code that adds them at inference.
    """

    retriever: Retriever
    lm_tokenizer: PreTrainedTokenizerBase
    lm_max_tokens: int
    phase: Phase
    seed: int = 0

    def __call__(self, steps: Sequence[StepChunks]) -> dict[str, Any]:
        """The chunks of the groups of one forward, group after group, to a dict of tensors.

        Returns:
            ``query``, ``passage``: dicts of (rows, L) ids and masks for first parts and whole chunks;
            ``view`` and ``rest``: the texts that the contrastive term brings together, ``view`` only where
            they are not the first parts; ``lm``: ids, mask and labels (rows, L), and the rows' ``lengths``;
            ``continuation``: (rows, L) labels of the second parts alone; ``given``: (G, B, B) similarities.
            Only those that the phase's terms read. ``sizes``: chunks of every group. ``documents``: the
            document ids of each group, for messages. ``figures``: numbers to record.

        Raises:
            RevelaError: the term ``replug`` with a tokenizer that does not tell where its tokens lie.
        """
        if get_worker_info() is not None:
            tokenize_in_one_thread()
        terms, parts = self.phase.terms, self.phase.rows == "parts"
        chunks = [chunk for step in steps for chunk in step.chunks]
        predicted = [step.chunks[: self.phase.lm_pairs] for step in steps]
        batch: dict[str, Any] = {
            "documents": [[chunk.document_id for chunk in step.chunks] for step in steps],
            "sizes": [len(step.chunks) for step in steps],
            "figures": {},
        }
        if needs_query(self.phase):
            batch["query"] = self.retriever.tokenize([chunk.query for chunk in chunks], "query")
        if needs_passage(self.phase):
            batch["passage"] = self.retriever.tokenize([chunk.passage for chunk in chunks], "document")
        if needs_rest(self.phase):
            views = [pair for step in steps for pair in contrastive_views(step, self.phase.views, self.seed)]
            queries, rests = zip(*views, strict=True)
            if self.phase.views != "halves":
                batch["view"] = self.retriever.tokenize(list(queries), "query")
            batch["rest"] = self.retriever.tokenize(list(rests), "document")
        if "revela" in terms and self.phase.weights == "bm25":
            batch["given"] = torch.stack([bm25_similarities(*_read(group, parts)) for group in predicted])
        if "revela" in terms or "replug" in terms:
            texts = [text for group in predicted for text in _read(group, parts)[1]]
            batch["lm"] = self._lm_inputs(texts)
            batch["figures"]["lm_tokens_cut_share"] = 1 - sum(batch["lm"]["lengths"]) / self._lm_tokens(texts)
            if "replug" in terms:
                batch["continuation"] = self._continuation(chunks, batch["lm"]["labels"])
        return batch

    def _continuation(self, group: Sequence[Chunk], labels: Tensor) -> Tensor:
        """`labels` where a token begins after the chunk's query, -100 elsewhere."""
        if not self.lm_tokenizer.is_fast:
            raise RevelaError(
                f"the term `replug` needs a tokenizer that tells where its tokens lie; "
                f"{type(self.lm_tokenizer).__name__} of the language model does not. "
                "Choose a model with a tokenizer.json."
            )
        continuation = torch.full_like(labels, -100)
        for row, chunk in enumerate(group):
            offsets = self.lm_tokenizer(
                chunk.text, truncation=True, max_length=self.lm_max_tokens, return_offsets_mapping=True
            )["offset_mapping"]
            first = next((at for at, (begin, _) in enumerate(offsets) if begin >= chunk.query_end), None)
            if first is not None:
                continuation[row, first : len(offsets)] = labels[row, first : len(offsets)]
        return continuation

    def _lm_tokens(self, texts: list[str]) -> int:
        """Tokens of the language model if none were cut off."""
        return sum(map(len, self.lm_tokenizer(texts, verbose=False)["input_ids"]))

    def _lm_inputs(self, texts: list[str]) -> dict[str, Tensor]:
        encoded = self.lm_tokenizer(
            texts, truncation=True, max_length=self.lm_max_tokens, padding=True, padding_side="right",
            return_tensors="pt",
        )  # fmt: skip
        ids, mask = encoded["input_ids"], encoded["attention_mask"]
        # By the mask, not by the pad token: in many LMs padding and end of sequence are one token.
        return {
            "input_ids": ids,
            "attention_mask": mask,
            "labels": ids.masked_fill(mask == 0, -100),
            "lengths": mask.sum(dim=1).tolist(),
        }


def _read(chunks: Sequence[Chunk], parts: bool) -> tuple[list[str], list[str]]:
    """What the language model's rows are searched with, and their texts."""
    if not parts:
        return [chunk.query for chunk in chunks], [chunk.text for chunk in chunks]
    rows = [text for chunk in chunks for text in (chunk.query, chunk.text[chunk.query_end :])]
    return rows, rows

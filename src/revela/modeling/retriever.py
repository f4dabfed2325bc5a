"""The retriever: a sentence-transformers model, in training as at inference.

Training runs the very modules that are saved (tokenizer with its ``<eos>``, prompts, pooling), so
prefix, pooling and truncation cannot differ between the two.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, cast

import numpy as np
import torch
import torch.nn.functional as F
from peft import PeftModel
from sentence_transformers.sentence_transformer.modules import Pooling
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from revela.files import atomic_directory
from revela.modeling.batch import (
    TOKENS_OF_A_FORWARD,
    Batch,
    of_nearly_one_length,
    sizes_within,
    stacked,
)
from revela.modeling.dropout import switch_dropout_off
from revela.modeling.encoder import load_encoder, tokenizer_of, transformer_of
from revela.modeling.in_batch_attention import NAME
from revela.modeling.packing import longest_packed
from revela.modeling.rows import Rows
from revela.modeling.token_weights import token_weights_module
from revela.modeling.tokenizer_files import forget_loading, name_for_all_versions
from revela.modeling.whitening import whitening_module

Kind = Literal["query", "document"]


class Retriever(nn.Module):
    """A sentence-transformers model as a trainable module.

    Args:
        folder: a sentence-transformers folder, trained or not.
        dtype: of the weights.
        mini_batch: texts encoded at a time by :meth:`embed`, their activations dropped and computed
            again in the backward pass; None encodes all at once and keeps everything.
        max_tokens: of a text that :meth:`tokenize` keeps, prompt and special tokens among them; None keeps
            as many as the model reads. What is saved is not changed by it.

    Attributes:
        share_forwards: let :meth:`embed` put batches of nearly one length into one forward. Where weights
            are gathered from several processes it must be off: lengths differ from process to process,
            and all have to gather equally often.
    """

    def __init__(
        self,
        folder: Path,
        dtype: torch.dtype = torch.float32,
        mini_batch: int | None = None,
        max_tokens: int | None = None,
    ) -> None:
        super().__init__()
        self.max_tokens = max_tokens
        self.mini_batch = mini_batch
        self.share_forwards = True
        self.encoder = load_encoder(folder, dtype)
        switch_dropout_off(self.transformer)
        self._packs = _prepare_packing(self.transformer)
        for module in list(self.encoder)[1:]:
            # Pooling, whitening and normalisation are as they are; the transformer learns.
            module.requires_grad_(False)
            switch_dropout_off(module)

    @property
    def transformer(self) -> PreTrainedModel:
        """The transformers model inside, adapters included."""
        return transformer_of(self.encoder).model

    @property
    def _pooling(self) -> int:
        """Place of the pooling among the modules: second, or third after token weights."""
        return next(index for index, module in enumerate(self.encoder) if isinstance(module, Pooling))

    @property
    def averages_evenly(self) -> bool:
        """Whether pooling is a mean in which all tokens count alike."""
        return self._pooling == 1 and self.encoder[self._pooling].pooling_mode == "mean"

    def wrap_transformer(self, wrap: Callable[[PreTrainedModel], nn.Module]) -> None:
        """Put what `wrap` makes of the transformers model in its place (adapters, say)."""
        # A method, not a property's setter: nn.Module.__setattr__ would pass that by for modules.
        # What wraps a model passes on its attributes and methods, and stands for it.
        transformer_of(self.encoder).model = cast(PreTrainedModel, wrap(self.transformer))

    def tokenize(self, texts: list[str], kind: Kind, most: int | None = None) -> Batch:
        """Token ids and mask, (N, L) each, prefix and ``<eos>`` included, padded to the longest.

        Also ``lengths``, a list of how many tokens each text has, where padding is on the right.

        Args:
            most: tokens of a text, fewer than otherwise.
        """
        prompt = self.encoder.prompts[kind]
        limit = self.encoder.max_seq_length
        limits = [tokens for tokens in (limit, self.max_tokens, most) if tokens is not None]
        try:
            if limits:
                self.encoder.max_seq_length = min(limits)
            features = transformer_of(self.encoder).preprocess(texts, prompt=prompt, task=kind)
        finally:
            self.encoder.max_seq_length = limit
        mask: Tensor = features["attention_mask"]
        batch: Batch = {"input_ids": features["input_ids"], "attention_mask": mask}
        if bool((mask[:, :-1] >= mask[:, 1:]).all()):
            batch["lengths"] = mask.sum(dim=1).tolist()
        return batch

    def pooled(
        self, input_ids: Tensor, attention_mask: Tensor, lengths: Sequence[int] | None = None
    ) -> Tensor:
        """(N, L) ids and mask to (N, D) float32 as pooling gives them, before whitening and normalisation.

        Args:
            lengths: tokens of every text, padded on the right; they let texts run without padding.
        """
        features = {"input_ids": input_ids, "attention_mask": attention_mask}
        first = 0
        if lengths is not None and input_ids.shape[1] <= self._packs:
            rows = Rows.of(lengths, input_ids.device, input_ids.shape[1])
            hidden = _hidden_states(self.transformer, rows.inputs(input_ids), rows)
            features["token_embeddings"], first = rows.unpack(hidden).float(), 1
        for module in list(self.encoder)[first : self._pooling + 1]:
            features = module(features)
        return features["sentence_embedding"].float()

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, lengths: Sequence[int] | None = None
    ) -> Tensor:
        """(N, L) ids and mask to (N, D) embeddings of unit length, float32 whatever the weights are."""
        features = {"sentence_embedding": self.pooled(input_ids, attention_mask, lengths)}
        # Whitening enlarges small differences between large numbers: never in half precision.
        with torch.autocast(input_ids.device.type, enabled=False):
            for module in list(self.encoder)[self._pooling + 1 :]:
                features = module(features)
        # Where a model says so, its embeddings end early (Matryoshka, Kusupati et al. 2022).
        vectors = features["sentence_embedding"][:, : self.encoder.truncate_dim]
        return F.normalize(vectors.float(), dim=-1)

    def insert_after_pooling(self, mean: Tensor, matrix: Tensor) -> None:
        """Put a whitening map after the pooling, as :func:`revela.modeling.whitening.fit_whitening` gives it.

        It is part of the model from then on, saved with it, and does not train.
        """
        # Not by building the encoder anew, which would cast the map to the transformer's precision.
        module = whitening_module(mean, matrix).to(self.encoder.device).requires_grad_(False)
        self.encoder.insert(self._pooling + 1, module)

    def weigh_tokens(self, weights: np.ndarray) -> None:
        """Let mean pooling weight tokens, by id; part of the model from then on, and not trained.

        Args:
            weights: (tokens of the tokenizer,), all above 0; for a retriever that :attr:`averages_evenly`.
        """
        module = token_weights_module(tokenizer_of(self.encoder), weights)
        self.encoder.insert(self._pooling, module.to(self.encoder.device).requires_grad_(False))

    def embed(self, batches: Mapping[str, Batch]) -> dict[str, Tensor]:
        """Embeddings of several batches of one step.

        Where texts can run without padding they share one forward; else batches of nearly one length do.
        On a CPU many texts go through several forwards, each of a few thousand tokens of nearly one length:
        what one operation writes is then still in the cache for the next.
        With `mini_batch` the step's memory is that of one mini-batch: the loss couples texts only through
        their embeddings, so a text's activations can be dropped until the gradient of its embedding is
        known (GradCache, Gao et al. 2021, arXiv 2101.06983).

        Args:
            batches: by any name, as :meth:`tokenize` gives them.

        Returns:
            By the same names, (N, D) float32 of unit length.
        """
        found: dict[str, Tensor] = {}
        for names in self._shared(batches):
            together = stacked([batches[name] for name in names])
            embeddings = self._in_mini_batches(**together)
            counts = [len(batches[name]["input_ids"]) for name in names]
            found |= dict(zip(names, embeddings.split(counts), strict=True))
        return found

    def _shared(self, batches: Mapping[str, Batch]) -> list[list[str]]:
        """Which batches go through one forward."""
        if not self.share_forwards:
            return [[name] for name in batches]
        if all(
            "lengths" in batch and batch["input_ids"].shape[1] <= self._packs for batch in batches.values()
        ):
            return [list(batches)] if batches else []
        return of_nearly_one_length(batches)

    def _in_mini_batches(
        self, input_ids: Tensor, attention_mask: Tensor, lengths: list[int] | None = None
    ) -> Tensor:
        many_forwards = input_ids.device.type == "cpu" and self.share_forwards
        if self.mini_batch is None and not many_forwards:
            embeddings: Tensor = self(input_ids, attention_mask, lengths)
            return embeddings
        counts = attention_mask.sum(dim=1) if lengths is None else torch.tensor(lengths)
        # Longest first, so that a forward holds texts of one length and padding beyond it is cut off.
        order = counts.argsort(descending=True, stable=True)
        sizes = self.mini_batch or sizes_within(counts[order].tolist(), TOKENS_OF_A_FORWARD)
        drops = self.mini_batch is not None and torch.is_grad_enabled()
        pieces = []
        for chosen in order.split(sizes):
            rows = chosen.to(input_ids.device)
            kept: list[int] | None = None
            if lengths is None:
                used = attention_mask[rows].any(dim=0)
                inputs = input_ids[rows][:, used], attention_mask[rows][:, used], kept
            else:
                kept = counts[chosen].tolist()
                inputs = input_ids[rows, : kept[0]], attention_mask[rows, : kept[0]], kept
            pieces.append(checkpoint(self, *inputs, use_reentrant=False) if drops else self(*inputs))
        return torch.cat(pieces)[order.argsort().to(input_ids.device)]

    def save(self, folder: Path) -> None:
        """Write a plain sentence-transformers folder; adapters are merged, weights are float32."""
        saved = copy.deepcopy(self.encoder).to("cpu", torch.float32)
        transformer, tokenizer = transformer_of(saved), tokenizer_of(saved)
        if isinstance(transformer.model, PeftModel):
            transformer.model = transformer.model.merge_and_unload()
        # Truncation and padding of the last batch are state of a tokenizer, and would be saved with it:
        # a resumed training, which encoded nothing yet, would save other bytes.
        forget_loading(tokenizer)
        backend = tokenizer.backend_tokenizer
        backend.no_truncation()
        backend.no_padding()
        with atomic_directory(folder) as target:
            saved.save(str(target), create_model_card=False)
            name_for_all_versions(target)


def _prepare_packing(model: PreTrainedModel) -> int:
    """Up to how many tokens texts of this model can run without padding; 0 if it has to be padded.

    Where they can, the model is left with our attention, which is the ordinary one for a padded batch.
    """
    before = model.config._attn_implementation
    ids = torch.arange(8, device=model.device).view(2, 4) % model.config.get_text_config().vocab_size
    try:
        model.set_attn_implementation(NAME)
    except (ValueError, KeyError):
        return 0
    training = model.training
    longest = longest_packed(model.eval(), ids, lambda inputs, rows: _hidden_states(model, inputs, rows))
    model.train(training)
    if not longest:
        model.set_attn_implementation(before)
    return longest


def _hidden_states(model: nn.Module, inputs: Mapping[str, Tensor], rows: Rows) -> Tensor:
    """Last hidden states, (R, L, D) or (1, T, D)."""
    packed = {"in_batch": rows} if inputs["attention_mask"].ndim == 4 else {}
    hidden: Tensor = model(**inputs, **packed, return_dict=True).last_hidden_state
    return hidden

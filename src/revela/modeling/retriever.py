"""The retriever: a sentence-transformers model, in training as at inference.

Training runs the very modules that are saved (tokenizer with its ``<eos>``, prompts, pooling), so
prefix, pooling and truncation cannot differ between the two.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from peft import PeftModel
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling
from tokenizers import processors
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import AutoConfig, PreTrainedConfig, PreTrainedTokenizerBase
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

from revela.errors import RevelaError
from revela.files import atomic_directory
from revela.modeling.dropout import switch_dropout_off
from revela.modeling.encoder import load_encoder
from revela.modeling.token_weights import token_weights_module
from revela.modeling.tokenizer_files import forget_loading
from revela.modeling.whitening import whitening_module
from revela.settings import RetrieverSource

Kind = Literal["query", "document"]


def build_retriever(model_dir: Path, source: RetrieverSource) -> SentenceTransformer:
    """An untrained retriever from a plain transformers folder.

    Prompts are stored under ``query`` and ``document``: with any other key sentence-transformers
    encodes documents without a prefix and says nothing. With ``lasttoken`` pooling the tokenizer
    itself ends every text, truncated or not, with ``<eos>``.

    Raises:
        RevelaError: the tokenizer has no end-of-sequence token to pool at, or the pooling does not suit
            the model.
    """
    _check_pooling(model_dir, source)
    transformer = Transformer(
        str(model_dir),
        max_seq_length=source.max_tokens,
        modality_config={"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
        module_output_name="token_embeddings",
    )
    tokenizer = transformer.tokenizer
    # Left alone, sentence-transformers sends every text through a tokenizer's chat template, the prompt
    # as a system message: most tokens would be the template's, and the pooled one not `<eos>`.
    tokenizer.chat_template = None
    forget_loading(tokenizer)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if source.pooling == "lasttoken":
        _end_with_eos(tokenizer, model_dir)
    width = transformer.get_embedding_dimension()
    retriever = SentenceTransformer(
        modules=[transformer, Pooling(width, source.pooling), Normalize()],
        prompts={"query": source.query_prompt, "document": source.passage_prompt},
        similarity_fn_name="cosine",
        device="cpu",
    )
    _check_tokens(retriever, model_dir)
    return retriever


def _check_pooling(model_dir: Path, source: RetrieverSource) -> None:
    """The last token of a causal model has read all others; the first one of an encoder has."""
    encoder = is_encoder(AutoConfig.from_pretrained(model_dir))
    if not encoder and source.pooling == "cls":
        raise RevelaError(
            f"backbone.retriever.pooling is cls, but the model in {model_dir} is causal: its first token "
            "sees nothing of the text. Use `lasttoken` or `mean`."
        )
    if encoder and source.pooling == "lasttoken":
        raise RevelaError(
            f"backbone.retriever.pooling is lasttoken, but the model in {model_dir} is an encoder, trained "
            "with `mean` or `cls`. Use one of these."
        )


def is_encoder(config: PreTrainedConfig) -> bool:
    """Whether a model reads in both directions: transformers trains its type on masked tokens."""
    return config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES


def _check_tokens(retriever: SentenceTransformer, where: Path) -> None:
    """What is encoded must be prompt + text (+ special tokens), nothing that a library slipped in."""
    prompt = retriever.prompts["query"]
    found = retriever[0].preprocess(["a text"], prompt=prompt)["input_ids"][0].tolist()
    wanted = retriever[0].tokenizer(f"{prompt}a text").input_ids
    if found != wanted:
        raise RevelaError(
            f"{where}: sentence-transformers encodes 'a text' as {retriever[0].tokenizer.decode(found)!r}, "
            f"expected {retriever[0].tokenizer.decode(wanted)!r}; this model cannot be used as a retriever."
        )


def _end_with_eos(tokenizer: PreTrainedTokenizerBase, where: Path) -> None:
    """Make the tokenizer's own post-processor append ``<eos>``.

    Setting ``add_eos_token`` is silently ignored by many tokenizers; a post-processor is saved in
    tokenizer.json and leaves room for the token when it truncates.
    """
    eos = tokenizer.eos_token
    if eos is None:
        raise RevelaError(
            f"{where}: the tokenizer has no eos token, which `pooling: lasttoken` reads. Use `mean`."
        )
    if tokenizer("a").input_ids[-1] == tokenizer.eos_token_id:
        return
    backend = tokenizer.backend_tokenizer
    append = processors.TemplateProcessing(
        single=f"$A {eos}", pair=f"$A $B:1 {eos}:1", special_tokens=[(eos, tokenizer.eos_token_id)]
    )
    before = backend.post_processor
    backend.post_processor = append if before is None else processors.Sequence([before, append])
    if tokenizer("a").input_ids[-1] != tokenizer.eos_token_id:
        raise RevelaError(
            f"{where}: this tokenizer cannot be made to append its eos token. Use `pooling: mean`."
        )


class Retriever(nn.Module):
    """A sentence-transformers model as a trainable module.

    Args:
        folder: a sentence-transformers folder, trained or not.
        dtype: of the weights.
        mini_batch: texts encoded at a time by :meth:`embed`, their activations dropped and computed
            again in the backward pass; None encodes all at once and keeps everything.

    Attributes:
        share_forwards: let :meth:`embed` put batches of nearly one length into one forward. Where weights
            are gathered from several processes it must be off: lengths differ from process to process,
            and all have to gather equally often.
    """

    def __init__(
        self, folder: Path, dtype: torch.dtype = torch.float32, mini_batch: int | None = None
    ) -> None:
        super().__init__()
        self.mini_batch = mini_batch
        self.share_forwards = True
        self.encoder = load_encoder(folder, dtype)
        switch_dropout_off(self.encoder[0].model)
        for module in list(self.encoder)[1:]:
            # Pooling, whitening and normalisation are as they are; the transformer learns.
            module.requires_grad_(False)

    @property
    def transformer(self) -> nn.Module:
        """The transformers model inside, adapters included."""
        return self.encoder[0].model

    @property
    def _pooling(self) -> int:
        """Place of the pooling among the modules: second, or third after token weights."""
        return next(index for index, module in enumerate(self.encoder) if isinstance(module, Pooling))

    def wrap_transformer(self, wrap: Callable[[nn.Module], nn.Module]) -> None:
        """Put what `wrap` makes of the transformers model in its place (adapters, say)."""
        # A method, not a property's setter: nn.Module.__setattr__ would pass that by for modules.
        self.encoder[0].model = wrap(self.encoder[0].model)

    def tokenize(self, texts: list[str], kind: Kind) -> dict[str, Tensor]:
        """Token ids and mask, (N, L) each, prefix and ``<eos>`` included, padded to the longest."""
        features = self.encoder[0].preprocess(texts, prompt=self.encoder.prompts[kind])
        return {key: features[key] for key in ("input_ids", "attention_mask")}

    def pooled(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(N, L) ids and mask to (N, D) float32 as pooling gives them, before whitening and normalisation."""
        features = {"input_ids": input_ids, "attention_mask": attention_mask}
        for module in list(self.encoder)[: self._pooling + 1]:
            features = module(features)
        return features["sentence_embedding"].float()

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(N, L) ids and mask to (N, D) embeddings of unit length, float32 whatever the weights are."""
        features = {"sentence_embedding": self.pooled(input_ids, attention_mask)}
        # Whitening enlarges small differences between large numbers: never in half precision.
        with torch.autocast(input_ids.device.type, enabled=False):
            for module in list(self.encoder)[self._pooling + 1 :]:
                features = module(features)
        return F.normalize(features["sentence_embedding"].float(), dim=-1)

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
            weights: (tokens of the tokenizer,), all above 0.

        Raises:
            ValueError: the pooling is no mean.
        """
        pooling = self.encoder[self._pooling]
        if pooling.pooling_mode != "mean":
            raise ValueError(f"token weights are for mean pooling, this is {pooling.pooling_mode}")
        module = token_weights_module(self.encoder[0].tokenizer, weights)
        self.encoder.insert(self._pooling, module.to(self.encoder.device).requires_grad_(False))

    def embed(self, batches: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Embeddings of several batches of one step, each at its own length.

        Batches of nearly one length share a forward. With `mini_batch` the step's memory is that of one
        mini-batch: the loss couples texts only through their embeddings, so a text's activations can be
        dropped until the gradient of its embedding is known (GradCache, Gao et al. 2021,
        arXiv 2101.06983).

        Args:
            batches: by any name, ids and masks (N, L) as :meth:`tokenize` gives them.

        Returns:
            By the same names, (N, D) float32 of unit length.
        """
        found: dict[str, Tensor] = {}
        shared = _of_nearly_one_length(batches) if self.share_forwards else [[name] for name in batches]
        for names in shared:
            together = _stacked([batches[name] for name in names])
            embeddings = self._in_mini_batches(**together)
            counts = [len(batches[name]["input_ids"]) for name in names]
            found |= dict(zip(names, embeddings.split(counts), strict=True))
        return found

    def _in_mini_batches(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        if self.mini_batch is None:
            return self(input_ids, attention_mask)
        # Longest first, so that a mini-batch holds texts of one length and padding beyond it is cut off.
        order = attention_mask.sum(dim=1).argsort(descending=True, stable=True)
        pieces = []
        for rows in order.split(self.mini_batch):
            used = attention_mask[rows].any(dim=0)
            inputs = input_ids[rows][:, used], attention_mask[rows][:, used]
            pieces.append(
                checkpoint(self, *inputs, use_reentrant=False) if torch.is_grad_enabled() else self(*inputs)
            )
        return torch.cat(pieces)[order.argsort()]

    def save(self, folder: Path) -> None:
        """Write a plain sentence-transformers folder; adapters are merged, weights are float32."""
        saved = copy.deepcopy(self.encoder).to("cpu", torch.float32)
        if isinstance(saved[0].model, PeftModel):
            saved[0].model = saved[0].model.merge_and_unload()
        # Truncation and padding of the last batch are state of a tokenizer, and would be saved with it:
        # a resumed training, which encoded nothing yet, would save other bytes.
        forget_loading(saved[0].tokenizer)
        backend = saved[0].tokenizer.backend_tokenizer
        backend.no_truncation()
        backend.no_padding()
        with atomic_directory(folder) as target:
            saved.save(str(target), create_model_card=False)


_WORTH_A_FORWARD = 256
"""Tokens of padding that cost about as much as one forward more. Measured on two cores (2 layers of
SmolLM2-135M, all weights training, forward and backward): sharing took 0.61 to 0.86 of the time without
padding, 0.94 with 64 tokens of it, 1.1 with 1024."""


def _of_nearly_one_length(batches: Mapping[str, Mapping[str, Tensor]]) -> list[list[str]]:
    """Names of batches that may share a forward, longest first."""
    shapes = {name: tuple(batch["input_ids"].shape) for name, batch in batches.items()}
    shared: list[list[str]] = []
    for name in sorted(shapes, key=lambda name: -shapes[name][1]):
        rows, length = shapes[name]
        if shared and rows * (shapes[shared[-1][0]][1] - length) <= _WORTH_A_FORWARD:
            shared[-1].append(name)
        else:
            shared.append([name])
    return shared


def _stacked(batches: list[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """One batch of all rows, padded on the right to the longest."""
    length = max(batch["input_ids"].shape[1] for batch in batches)
    return {
        key: torch.cat([F.pad(batch[key], (0, length - batch[key].shape[1])) for batch in batches])
        for key in ("input_ids", "attention_mask")
    }

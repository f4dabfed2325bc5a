"""Revela's loss for a SentenceTransformerTrainer: the batch is the group.

A sentence-transformers loss gets token ids of the retriever alone, and its trainer saves the model alone.
So beside :class:`RevelaLoss` there are a collator, which adds the texts in the language model's tokens, a
sampler that keeps the order of the rows, and a callback that saves the language model and finds it again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.data_collator import SentenceTransformerDataCollator
from torch import Tensor, nn
from torch.utils.data import BatchSampler, Dataset, SequentialSampler
from transformers import (
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from revela.errors import RevelaError
from revela.modeling.lm import load_lm
from revela.objectives import RevelaObjective
from revela.settings import ObjectiveSettings

STATE_FILE = "revela_lm.safetensors"


class RevelaLoss(nn.Module):
    """Conditioned next-token loss of a batch under the similarities of its embeddings.

    The language model is part of the loss, so the trainer's optimizer trains whatever of it asks for a
    gradient. It is not part of the model: give the trainer :class:`RevelaCheckpoints` to save and resume it.

    Args:
        model: the retriever.
        lm: a folder or hub id, or a causal LM from :func:`revela.modeling.load_lm`, with adapters of peft or
            without.
        lm_tokenizer: needed when `lm` is a model; else it comes from the same place as the model.
        objective: attention, temperature and the rest; those of ``params.yaml``'s section `objective`.
        lm_max_tokens: what the language model reads of a text.

    Raises:
        RevelaError: the language model cannot be loaded or used.
        ValueError: a model without its tokenizer.
    """

    def __init__(
        self,
        model: SentenceTransformer,
        lm: str | Path | nn.Module,
        *,
        lm_tokenizer: PreTrainedTokenizerBase | None = None,
        objective: ObjectiveSettings | None = None,
        lm_max_tokens: int = 128,
    ) -> None:
        super().__init__()
        if isinstance(lm, nn.Module) and lm_tokenizer is None:
            raise ValueError("lm is a model: give its tokenizer as lm_tokenizer, too")
        self.model = model
        self.lm: nn.Module = lm if isinstance(lm, nn.Module) else load_lm(lm)
        self.lm_tokenizer = lm_tokenizer or AutoTokenizer.from_pretrained(lm)
        if self.lm_tokenizer.pad_token is None:
            self.lm_tokenizer.pad_token = self.lm_tokenizer.eos_token
        self.lm_max_tokens = lm_max_tokens
        layers = self.causal_lm.config.get_text_config().num_hidden_layers
        self.objective = RevelaObjective(objective or ObjectiveSettings(), layers)

    @property
    def causal_lm(self) -> PreTrainedModel:
        """The transformers model itself; adapters live inside its layers."""
        unwrap = getattr(self.lm, "get_base_model", None)
        return cast(PreTrainedModel, self.lm if unwrap is None else unwrap())

    def forward(self, sentence_features: Sequence[dict[str, Tensor]], labels: Tensor | None = None) -> Tensor:
        """The batch's loss, () with gradient.

        Args:
            sentence_features: of the queries, of the passages, and of the passages in the language model's
                tokens, each (B, L).
            labels: unused; there are none.

        Raises:
            RevelaError: the features are not three.
        """
        features = list(sentence_features)
        if len(features) != 3:
            raise RevelaError(
                f"RevelaLoss got {len(features)} inputs a row, expected 3: two text columns (query, passage) "
                "and the passage in the language model's tokens. Give the trainer "
                "`data_collator=RevelaCollator.of(loss)` and a data set of two text columns."
            )
        queries, passages = (
            F.normalize(self.model(dict(one))["sentence_embedding"].float(), dim=-1) for one in features[:2]
        )
        ids, mask = features[2]["input_ids"], features[2]["attention_mask"]
        return self.objective(
            self.causal_lm, ids, mask, ids.masked_fill(mask == 0, -100), queries=queries, passages=passages
        )["loss"]

    def trained_state(self) -> dict[str, Tensor]:
        """The language model's parameters that train, and its gates."""
        return {name: weight.detach().contiguous() for name, weight in self.trained_parameters()}

    def trained_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """What trains beside the retriever, by name."""
        for name, weight in (*self.lm.named_parameters(), *self.objective.named_parameters()):
            if weight.requires_grad:
                yield name, weight


@dataclass
class RevelaCollator(SentenceTransformerDataCollator):
    """The trainer's own collator, and the second column in the language model's tokens as ``lm``."""

    lm_tokenizer: PreTrainedTokenizerBase | None = None
    lm_max_tokens: int = 128

    @classmethod
    def of(cls, loss: RevelaLoss, **kwargs: Any) -> RevelaCollator:
        """For this loss and its model; `kwargs` go to sentence-transformers' collator (such as `prompts`)."""
        return cls(
            loss.model.preprocess, lm_tokenizer=loss.lm_tokenizer, lm_max_tokens=loss.lm_max_tokens, **kwargs
        )

    def __call__(self, features: list[dict[str, Any]]) -> dict[str, Any]:
        """Rows of two texts to the columns' ids and masks and ``lm_input_ids``, ``lm_attention_mask``."""
        columns = [name for name in features[0] if name not in ("label", "score", "dataset_name")]
        if len(columns) != 2:
            raise RevelaError(f"expected two text columns (query, passage), found {', '.join(columns)}")
        texts = [row[columns[1]] for row in features]
        assert self.lm_tokenizer is not None, "make the collator with RevelaCollator.of"
        encoded = self.lm_tokenizer(
            texts, truncation=True, max_length=self.lm_max_tokens, padding=True, padding_side="right",
            return_tensors="pt",
        )  # fmt: skip
        return {
            **super().__call__(features),
            "lm_input_ids": encoded["input_ids"],
            "lm_attention_mask": encoded["attention_mask"],
        }


def groups_in_order(dataset: Dataset, batch_size: int, drop_last: bool, **kwargs: Any) -> BatchSampler:
    """For ``args.batch_sampler``: rows in their order, so that each batch is one group.

    The trainer's default shuffles rows, and chunks of one group would no longer meet.
    """
    return BatchSampler(SequentialSampler(cast(Sized, dataset)), batch_size=batch_size, drop_last=drop_last)


class RevelaCheckpoints(TrainerCallback):
    """Save what trains of the loss's language model with every checkpoint; load it when training resumes."""

    def __init__(self, loss: RevelaLoss) -> None:
        self.loss = loss

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        trained = self.loss.trained_state()
        if state.is_world_process_zero and trained:
            path = _file(args, state)
            part = path.with_name(f".{path.name}.part")
            save_file({name: weight.cpu() for name, weight in trained.items()}, part)
            part.replace(path)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        trained = self.loss.trained_state()
        if not state.global_step or not trained:
            return
        path = _file(args, state)
        if not path.is_file():
            raise RevelaError(
                f"{path}: no such file, so the language model of this checkpoint is lost. Resume from one "
                "that was written with the callback RevelaCheckpoints, or start anew."
            )
        found = load_file(path)
        if found.keys() != trained.keys():
            raise RevelaError(f"{path}: it belongs to another language model, or to other adapters.")
        for name, weight in self.loss.trained_parameters():
            weight.data.copy_(found[name])


def _file(args: TrainingArguments, state: TrainerState) -> Path:
    assert args.output_dir is not None  # it is, once they are made
    return Path(args.output_dir) / f"checkpoint-{state.global_step}" / STATE_FILE

"""Small random sentence-transformers models in folders, such as anyone may bring."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling
from torch import nn
from transformers import (
    BertConfig,
    BertModel,
    ModernBertConfig,
    ModernBertModel,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3Model,
    RobertaConfig,
    RobertaModel,
)

WIDTH, POSITIONS = 32, 96
SIZES = {
    "vocab_size": 500, "hidden_size": WIDTH, "intermediate_size": 48, "num_hidden_layers": 3,
    "num_attention_heads": 4, "max_position_embeddings": POSITIONS, "initializer_range": 0.2,
    "pad_token_id": 0, "eos_token_id": 1,
}  # fmt: skip

MODELS: dict[str, Callable[[], PreTrainedModel]] = {
    "bert": lambda: BertModel(BertConfig(**SIZES)),
    "modernbert": lambda: ModernBertModel(ModernBertConfig(**SIZES)),
    "qwen3": lambda: Qwen3Model(Qwen3Config(**SIZES, num_key_value_heads=2, head_dim=8)),
    "roberta": lambda: RobertaModel(RobertaConfig(**{**SIZES, "pad_token_id": 1})),
}


def save_encoder(
    folder: Path,
    tokenizer: PreTrainedTokenizerFast,
    *later: nn.Module,
    model: str = "bert",
    tokens: dict[str, Any] | None = None,
    **said: Any,
) -> Path:
    """Write a model with these modules after the transformer; pooling and unit length where none are given.

    Args:
        tokens: what the tokenizer says of itself otherwise.
        said: what else the model says of itself, such as its prompts.
    """
    torch.manual_seed(0)
    plain = folder.with_name(f".{folder.name}-plain")
    MODELS[model]().save_pretrained(plain)
    tokenizer.save_pretrained(plain)
    edit(plain / "tokenizer_config.json", **(tokens or {}))
    transformer = Transformer(str(plain), max_seq_length=64)
    modules = [transformer, *(later or (Pooling(WIDTH, "mean"), Normalize()))]
    SentenceTransformer(modules=modules, device="cpu", **said).save(str(folder), create_model_card=False)
    return folder


def of(folder: Path) -> dict[str, str]:
    """The settings' words for a folder."""
    return {"kind": "folder", "name": str(folder)}


def dense(width: int = WIDTH, out: int = 24, **options: Any) -> Dense:
    """A layer with random weights, larger than those that torch begins with."""
    layer = Dense(width, out, activation_function=nn.Tanh(), **options)
    nn.init.normal_(layer.linear.weight, std=0.5)
    return layer


def edit(path: Path, **keys: Any) -> None:
    """Give a JSON file other values; of a list, to its entries."""
    content = json.loads(path.read_text(encoding="utf-8"))
    for entry in content if isinstance(content, list) else [content]:
        entry.update(keys)
    path.write_text(json.dumps(content), encoding="utf-8")

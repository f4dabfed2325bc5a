"""Load a sentence-transformers folder whose transformer computes in half precision, and nothing else does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Module, Transformer
from transformers import PreTrainedTokenizerBase


def load_encoder(folder: Path, dtype: torch.dtype, device: str | torch.device = "cpu") -> SentenceTransformer:
    """A SentenceTransformer with its transformer in `dtype`, every other module as it was saved (float32).

    The library casts all modules to the transformer's precision. Pooled vectors have a large common part
    and small differences, which a whitening map after the pooling enlarges: bfloat16 has rounded them away.

    Raises:
        OSError, ValueError: as sentence-transformers does, for a folder that it cannot load.
    """
    model = SentenceTransformer(
        str(folder), device=str(device), model_kwargs={"dtype": dtype}, local_files_only=True
    )
    keep_precision(model, folder)
    return model


def keep_precision(model: SentenceTransformer, folder: Path) -> None:
    """Let a model loaded from `folder` have all modules but its transformer as they were saved."""
    if model.dtype != torch.float32:
        entries = json.loads((Path(folder) / "modules.json").read_text(encoding="utf-8"))
        for index, entry in enumerate(entries[1:], start=1):
            if any(True for _ in model[index].parameters()):
                kind = cast(type[Module], type(model[index]))
                model[index] = kind.load(str(folder), subfolder=entry["path"]).to(model.device)
    model[0].register_forward_hook(_in_float32)


def transformer_of(model: SentenceTransformer) -> Transformer:
    """The first module, around the transformers model; as part of a sequence it is typed as any module."""
    return cast(Transformer, model[0])


def tokenizer_of(model: SentenceTransformer) -> PreTrainedTokenizerBase:
    """The tokenizer, which the first module of a model of texts has."""
    return cast(PreTrainedTokenizerBase, transformer_of(model).tokenizer)


def _in_float32(module: object, inputs: object, features: dict[str, torch.Tensor]) -> None:
    # Pooling multiplies by the mask and adds up: in half precision that would cost accuracy for nothing.
    features["token_embeddings"] = features["token_embeddings"].float()

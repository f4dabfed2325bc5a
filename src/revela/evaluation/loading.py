"""Encoders from their folders, and which of them have the same transformer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from sentence_transformers import SentenceTransformer

from revela.errors import RevelaError
from revela.files import sha256_file
from revela.modeling.encoder import load_encoder as sentence_transformer
from revela.modeling.precision import Precision, resolve_dtype

# What may be different in two folders of one transformer: how it is stored, and who wrote it when.
_NO_DIFFERENCE = ("dtype", "torch_dtype", "transformers_version", "_name_or_path")
_NOT_THE_TRANSFORMER = {"modules.json", "config_sentence_transformers.json", "README.md", ".gitattributes"}
# Modules that read what stands before them and nothing else: these may share the transformer's forward.
_PLAIN = {"Transformer", "Pooling", "Dense", "Normalize", "WordWeights", "LayerNorm", "Dropout"}
# A tokenizer without a limit says 10^30.
_UNLIMITED = 10**9
_LIBRARIES = ("torch", "transformers", "sentence-transformers", "tokenizers")


def load_encoder(
    model_dir: Path, *, max_tokens: int | None, precision: Precision = "auto", device: str | None = None
) -> SentenceTransformer:
    """Load a saved SentenceTransformer for inference in the wanted precision.

    Args:
        max_tokens: tokens kept of a text, prompt and end token included; None is as many as its folder says.
        device: as torch names it; None is the GPU if there is one.

    Raises:
        RevelaError: the folder cannot be loaded, has fewer positions than `max_tokens`, or does not say how
            many tokens it reads where that is asked for.
    """
    check_folder(model_dir)
    device = device or default_device()
    dtype = resolve_dtype(precision, device)
    try:
        # The dtype must be given: the default is whatever the weights happen to be stored in.
        model = sentence_transformer(model_dir, dtype, device)
    except (OSError, ValueError) as fault:
        raise RevelaError(f"{model_dir}: cannot be loaded as a SentenceTransformer: {fault}") from fault
    config = getattr(model.transformers_model, "config", None)
    positions = getattr(config, "max_position_embeddings", None)
    if max_tokens is None:
        max_tokens = _own_length(model_dir, model.max_seq_length, positions)
    elif positions is not None and max_tokens > positions:
        raise RevelaError(
            f"evaluate.max_tokens is {max_tokens}, but {model_dir} has only {positions} positions; lower it."
        )
    model.max_seq_length = max_tokens
    return model.eval()


def _own_length(model_dir: Path, *said: int | None) -> int:
    known = [length for length in said if length is not None and length < _UNLIMITED]
    if not known:
        raise RevelaError(
            f"{model_dir} does not say how many tokens it reads of a text: set `max_seq_length` in its "
            "sentence_bert_config.json, or evaluate.max_tokens for all encoders."
        )
    return min(known)


def check_folder(model_dir: Path) -> None:
    """Raises: RevelaError: no SentenceTransformer was saved there."""
    if not (model_dir / "modules.json").is_file():
        # Without it the library would quietly build a mean-pooling model around the weights.
        raise RevelaError(f"{model_dir}: not a saved SentenceTransformer (no modules.json).")


def default_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def by_transformer(models: Mapping[str, Path], dtype: torch.dtype) -> list[dict[str, Path]]:
    """The models, those together that have the same transformer, tokenizer and prompts in `dtype`.

    Raises:
        RevelaError: a folder is no SentenceTransformer.
    """
    groups: dict[str, dict[str, Path]] = {}
    for name, folder in models.items():
        check_folder(folder)
        groups.setdefault(_transformer_digest(folder, dtype), {})[name] = folder
    return list(groups.values())


def encoder_digest(folder: Path, dtype: torch.dtype, max_tokens: int | None, device: str) -> str:
    """Hex digest of all that a text's vector depends on but the text and whether it is a query."""
    parts = [_transformer_digest(folder, dtype), str(dtype), str(max_tokens), torch.device(device).type]
    inside = (file for file in folder.rglob("*") if file.is_file() and file.parent != folder)
    parts += [f"{file.relative_to(folder).as_posix()} {sha256_file(file)}" for file in sorted(inside)]
    parts += [sha256_file(folder / "modules.json"), *map(version, _LIBRARIES)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _transformer_digest(folder: Path, dtype: torch.dtype) -> str:
    digest = hashlib.blake2b(digest_size=16)
    modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    kinds = {entry["type"].rpartition(".")[2] for entry in modules}
    if modules[0]["path"] or not kinds <= _PLAIN:
        digest.update(str(folder.resolve()).encode())  # like no other
    own = (file for file in folder.iterdir() if file.is_file() and file.name not in _NOT_THE_TRANSFORMER)
    for file in sorted(own):
        digest.update(f"{file.name}\0".encode())
        if file.suffix == ".safetensors":
            _add_weights(digest, file, dtype)
        elif file.name == "config.json":
            config = _read(file)
            kept = {key: value for key, value in config.items() if key not in _NO_DIFFERENCE}
            digest.update(json.dumps(kept, sort_keys=True).encode())
        else:
            digest.update(sha256_file(file).encode())
    whole = _read(folder / "config_sentence_transformers.json")
    said = {key: whole.get(key) for key in ("prompts", "default_prompt_name", "truncate_dim")}
    digest.update(json.dumps(said, sort_keys=True).encode())
    return digest.hexdigest()


def _add_weights(digest: Any, file: Path, dtype: torch.dtype) -> None:
    with safe_open(file, framework="pt") as tensors:
        for name in sorted(tensors.keys()):
            tensor = tensors.get_tensor(name)
            tensor = tensor.to(dtype) if tensor.is_floating_point() else tensor
            digest.update(f"{name} {tuple(tensor.shape)}\0".encode())
            # Flat first: a tensor without dimensions cannot be viewed as bytes.
            digest.update(tensor.reshape(-1).view(torch.uint8).numpy())


def _read(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}

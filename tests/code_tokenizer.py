"""A real byte-level BPE tokenizer, trained in a moment on the standard library's own text."""

from __future__ import annotations

import json.decoder
import textwrap
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers


def save_code_tokenizer(folder: Path) -> Path:
    """A backbone's folder, as far as chunks and groups read it. Its settings ask for truncation and
    padding, which a chunker must not follow."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1500, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    texts = [Path(module.__file__).read_text() for module in (textwrap, json.decoder)]
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=8)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder

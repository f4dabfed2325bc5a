"""A real byte-level BPE tokenizer, trained in a moment on the standard library's own text."""

from __future__ import annotations

import json.decoder
import textwrap
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers


@pytest.fixture(scope="session")
def tokenizer_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backbone's folder, as far as this stage reads it. Its settings ask for truncation and padding,
    which a chunker must not follow."""
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
    folder = tmp_path_factory.mktemp("retriever")
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="session")
def tokenizer(tokenizer_dir: Path) -> Tokenizer:
    from revela.batches.tokenizer import load_tokenizer

    return load_tokenizer(tokenizer_dir)

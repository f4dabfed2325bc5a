"""Encoders that anyone may bring."""

from __future__ import annotations

import pytest
from encoder_folders import save_encoder


@pytest.fixture
def encoder(tmp_path, tokenizer):
    """A folder with a small model, of a name; see :func:`encoder_folders.save_encoder`."""
    return lambda *later, name="mine", **said: save_encoder(tmp_path / name, tokenizer, *later, **said)

"""Encoders to compare with: whatever is installed, in a folder or on the hub."""

from __future__ import annotations

from pathlib import Path

from revela.modeling import model_files
from revela.settings import EncoderSource


def find_encoder(source: EncoderSource) -> Path:
    """The folder of a sentence-transformers model.

    Raises:
        RevelaError: it is not installed, not there, or cannot be fetched.
    """
    setting = f"evaluate.encoders: {source.name}"
    return model_files.find_encoder(source.kind, source.source, source.revision, setting)

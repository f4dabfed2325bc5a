"""The tokenizer that chunks are measured with."""

from __future__ import annotations

from pathlib import Path

import pytest
from code_tokenizer import save_code_tokenizer


@pytest.fixture(scope="session")
def tokenizer_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_code_tokenizer(tmp_path_factory.mktemp("retriever"))

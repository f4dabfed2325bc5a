"""The benchmarks of a frozen language model and of encoding, from end to end, tiny."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import encode, frozen_lm

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="peak memory on the CPU is read from Linux's /proc"
)


def test_a_frozen_language_models_step(tmp_path):
    frozen_lm.main(layers=1, size=4, tokens=16, repeats=1, random=True, out=tmp_path)
    table = (tmp_path / "frozen_lm.md").read_text()
    assert "| with a backward pass |" in table and "| ratio | " in table


def test_encoding(tmp_path):
    encode.main(count=12, layers=1, max_tokens=32, batch_size=4, repeats=1, random=True, out=tmp_path)
    table = (tmp_path / "encode.md").read_text()
    assert "| sentence-transformers |" in table and "12 texts" in table

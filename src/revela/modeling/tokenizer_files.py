"""A tokenizer's files say what the tokenizer is, not how it was loaded."""

from __future__ import annotations

from transformers import PreTrainedTokenizerBase


def forget_loading(tokenizer: PreTrainedTokenizerBase) -> None:
    """Keep what only this process decided out of the files that the tokenizer is saved to.

    transformers writes ``local_files_only`` into tokenizer_config.json, true where HF_HUB_OFFLINE is set:
    equal backbones would differ between a machine with a network and one without.
    """
    tokenizer.init_kwargs.pop("local_files_only", None)

"""A tokenizer's files say what the tokenizer is, not how it was loaded or by which version."""

from __future__ import annotations

from pathlib import Path

from transformers import PreTrainedTokenizerBase

from revela.files import read_json, write_json

READS_ITS_FILE = "PreTrainedTokenizerFast"
"""The class that takes tokenizer.json as it is; others build their normalisation and more anew."""


def forget_loading(tokenizer: PreTrainedTokenizerBase) -> None:
    """Keep what only this process decided out of the files that the tokenizer is saved to.

    transformers writes ``local_files_only`` into tokenizer_config.json, true where HF_HUB_OFFLINE is set:
    equal backbones would differ between a machine with a network and one without.
    """
    tokenizer.init_kwargs.pop("local_files_only", None)


def name_for_all_versions(folder: Path) -> None:
    """Let transformers 4 load what transformers 5 saved: it knows one class of tokenizers by another name."""
    for config in sorted(folder.rglob("tokenizer_config.json")):
        content = read_json(config)
        if content.get("tokenizer_class") == "TokenizersBackend":
            write_json(config, {**content, "tokenizer_class": READS_ITS_FILE})

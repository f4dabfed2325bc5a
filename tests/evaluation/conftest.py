"""A random encoder that takes milliseconds, and a benchmark small enough to check by eye."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaModel, PreTrainedTokenizerFast

from revela.evaluation.benchmarks import Benchmark

ADJECTIVES = ["red", "green", "blue", "small", "large", "old", "new", "warm", "cold", "quiet", "loud", "dry"]
NOUNS = ["house", "river", "engine", "garden", "window", "letter", "planet", "market", "bridge", "kitchen"]


@pytest.fixture(scope="session")
def toy_benchmark() -> Benchmark:
    """60 documents of differing lengths and 20 queries, each with one relevant document."""
    corpus = {}
    for index in range(60):
        adjective, noun = ADJECTIVES[index % 12], NOUNS[index % 10]
        others = " ".join(ADJECTIVES[(index * step) % 12] for step in range(1, 2 + index % 23))
        corpus[f"d{index:02}"] = f"the {adjective} {noun} {others}"
    queries = {f"q{index:02}": corpus[f"d{index:02}"].split(" ", 1)[1] for index in range(20)}
    qrels = {f"q{index:02}": {f"d{index:02}": 1} for index in range(20)}
    return Benchmark("toy", corpus, queries, qrels, description="made of twenty-two words", code=False)


def save_encoder(folder: Path, *, seed: int, texts: list[str]) -> Path:
    """A SentenceTransformer with random weights: Llama, the last token pooled, unit length, two prompts."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(
        vocab_size=200, special_tokens=["<unk>", "<eos>", "<pad>"], show_progress=False
    )
    tokenizer.train_from_iterator([*texts, "query: passage: "], trainer)
    end = tokenizer.token_to_id("<eos>")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <eos>", special_tokens=[("<eos>", end)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        eos_token="<eos>",
        pad_token="<pad>",
        padding_side="right",
    )
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        initializer_range=0.2,
        pad_token_id=fast.pad_token_id,
        eos_token_id=end,
        bos_token_id=None,
    )
    backbone = folder / "backbone"
    LlamaModel(config).save_pretrained(backbone)
    fast.save_pretrained(backbone)
    transformer = Transformer(str(backbone), max_seq_length=128)
    pooling = Pooling(transformer.get_embedding_dimension(), pooling_mode="lasttoken")
    model = SentenceTransformer(
        modules=[transformer, pooling, Normalize()],
        prompts={"query": "query: ", "document": "passage: "},
        device="cpu",
    )
    model.save(str(folder / "model"))
    return folder / "model"


@pytest.fixture(scope="session")
def encoder_dir(tmp_path_factory: pytest.TempPathFactory, toy_benchmark: Benchmark) -> Path:
    return save_encoder(tmp_path_factory.mktemp("encoder"), seed=0, texts=list(toy_benchmark.corpus.values()))


@pytest.fixture(scope="session")
def other_encoder_dir(tmp_path_factory: pytest.TempPathFactory, toy_benchmark: Benchmark) -> Path:
    return save_encoder(tmp_path_factory.mktemp("other"), seed=1, texts=list(toy_benchmark.corpus.values()))

"""Texts that run without padding have the embeddings and gradients that each has by itself.

The reference is sentence-transformers: its own modules and attention, one text at a time. Float32.
"""

from __future__ import annotations

import json

import pytest
import torch
import torch.nn.functional as F
from sentence_transformers import SentenceTransformer
from torch import Tensor, nn
from transformers import BertConfig, BertModel, ModernBertConfig, ModernBertModel, RobertaConfig, RobertaModel

from revela.files import sha256_tree
from revela.modeling import retriever as module
from revela.modeling.batch import sizes_within
from revela.modeling.in_batch_attention import NAME
from revela.modeling.retriever import Retriever
from revela.modeling.untrained import build_retriever
from revela.settings import RetrieverSource

SIZES = {
    "vocab_size": 500, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3,
    "num_attention_heads": 4, "pad_token_id": 0, "initializer_range": 0.2,
}  # fmt: skip
ENCODERS = {
    "bert": lambda: BertModel(BertConfig(**SIZES)),
    "modernbert": lambda: ModernBertModel(ModernBertConfig(**SIZES)),
    # It reads up to 4 tokens to either side: longer texts have a mask, and so padding.
    "narrow": lambda: ModernBertModel(ModernBertConfig(**SIZES, local_attention=8)),
    # It counts positions from 2, and skips padding by looking for its token.
    "roberta": lambda: RobertaModel(RobertaConfig(**SIZES, max_position_embeddings=80)),
}
CASES = [
    ("causal", "lasttoken"), ("causal", "mean"), ("bert", "mean"), ("bert", "cls"), ("modernbert", "mean"),
    ("modernbert", "cls"), ("narrow", "mean"), ("roberta", "mean"),
]  # fmt: skip
PACKED = {"causal", "bert", "modernbert"}
TEXTS = {
    "query": ["short", "a question about parsing text", "x"],
    "document": ["def parse(text): return text.split()", "import os", "class Reader: pass", "z" * 90],
}


@pytest.fixture(scope="module")
def folder_of(causal_lm_folder, tokenizer, tmp_path_factory):
    """A retriever's folder by model and pooling."""
    made = {}

    def make(name: str, pooling: str):
        if (name, pooling) not in made:
            root, source = tmp_path_factory.mktemp(name), causal_lm_folder
            if name in ENCODERS:
                torch.manual_seed(0)
                source = root / "plain"
                ENCODERS[name]().save_pretrained(source)
                tokenizer.save_pretrained(source)
            settings = RetrieverSource(kind="folder", name=str(source), pooling=pooling, max_tokens=64)
            made[name, pooling] = root / "retriever"
            build_retriever(source, settings).save(str(made[name, pooling]))
        return made[name, pooling]

    return make


def weighted_sum(embeddings: dict[str, Tensor]) -> Tensor:
    """Something whose gradient differs from text to text."""
    drawn = torch.Generator().manual_seed(2)
    rows = (embeddings[kind] for kind in TEXTS)
    return sum((vectors * torch.randn(vectors.shape, generator=drawn)).sum() for vectors in rows)


def gradients(model: nn.Module) -> dict[str, Tensor]:
    return {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}


def by_itself(folder) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    encoder = SentenceTransformer(str(folder), device="cpu").eval()
    embeddings = {}
    for kind, texts in TEXTS.items():
        rows = []
        for text in texts:
            features = encoder[0].preprocess([text], prompt=encoder.prompts[kind])
            rows.append(encoder({key: features[key] for key in ("input_ids", "attention_mask")}))
        embeddings[kind] = F.normalize(torch.cat([row["sentence_embedding"] for row in rows]), dim=-1)
    weighted_sum(embeddings).backward()
    return embeddings, {f"encoder.{name}": value for name, value in gradients(encoder).items()}


def embed(retriever: Retriever) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    embeddings = retriever.embed({kind: retriever.tokenize(texts, kind) for kind, texts in TEXTS.items()})
    weighted_sum(embeddings).backward()
    return embeddings, gradients(retriever)


def assert_same(found: dict[str, Tensor], wanted: dict[str, Tensor], floor: float) -> None:
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        apart = (found[name] - value).detach().abs().max() / value.detach().abs().max().clamp_min(floor)
        assert float(apart) < 1e-5, name


@pytest.mark.parametrize("mini_batch", [None, 1, 3])
@pytest.mark.parametrize(("name", "pooling"), CASES)
def test_embeddings_and_gradients_are_those_of_every_text_by_itself(folder_of, name, pooling, mini_batch):
    wanted, wanted_gradients = by_itself(folder_of(name, pooling))
    retriever = Retriever(folder_of(name, pooling), mini_batch=mini_batch).train()
    found, found_gradients = embed(retriever)
    assert [found[kind].shape for kind in TEXTS] == [(3, 32), (4, 32)]
    assert_same(found, wanted, 1e-12)
    # A key bias shifts all logits of a softmax alike: its gradient is rounding noise around 0.
    floor = 1e-2 * max(float(gradient.abs().max()) for gradient in wanted_gradients.values())
    assert_same(found_gradients, wanted_gradients, floor)


@pytest.mark.parametrize(("name", "pooling"), CASES)
def test_forwards_of_few_tokens_give_the_same(folder_of, name, pooling, monkeypatch):
    wanted, wanted_gradients = by_itself(folder_of(name, pooling))
    retriever = Retriever(folder_of(name, pooling)).train()
    monkeypatch.setattr("revela.modeling.retriever.TOKENS_OF_A_FORWARD", 12)
    forwards = []
    retriever.register_forward_pre_hook(lambda _, inputs: forwards.append(tuple(inputs[0].shape)))
    found, found_gradients = embed(retriever)
    assert len(forwards) > 2 and all(rows == 1 or rows * width <= 12 for rows, width in forwards)
    assert_same(found, wanted, 1e-12)
    floor = 1e-2 * max(float(gradient.abs().max()) for gradient in wanted_gradients.values())
    assert_same(found_gradients, wanted_gradients, floor)


@pytest.mark.parametrize(
    ("counts", "sizes"),
    [
        ([], []),
        ([3], [1]),
        ([30, 12, 5, 5, 4, 1], [1, 1, 2, 2]),
        ([4, 4, 4, 1, 1], [3, 2]),
    ],
)
def test_forwards_are_filled_up_to_their_tokens_and_a_longer_text_has_its_own(counts, sizes):
    assert sizes_within(counts, 12) == sizes


@pytest.mark.parametrize(("name", "pooling"), CASES)
def test_queries_and_passages_share_one_forward_without_padding(folder_of, name, pooling):
    retriever = Retriever(folder_of(name, pooling))
    batches = {kind: retriever.tokenize(texts, kind) for kind, texts in TEXTS.items()}
    shapes = []
    retriever.transformer.get_input_embeddings().register_forward_pre_hook(
        lambda _, inputs: shapes.append(tuple(inputs[0].shape))
    )
    retriever.embed(batches)
    tokens = sum(sum(batch["lengths"]) for batch in batches.values())
    assert (shapes == [(1, tokens)]) == (name in PACKED)
    if name not in PACKED:
        assert sum(rows for rows, _ in shapes) == 7


def test_texts_of_one_length_run_as_rows(folder_of):
    folder = folder_of("bert", "mean")
    retriever = Retriever(folder)
    batch = retriever.tokenize(["same text", "same text", "same text"], "query")
    assert len(set(batch["lengths"])) == 1
    alone = retriever(batch["input_ids"][:1], batch["attention_mask"][:1])
    torch.testing.assert_close(retriever.embed({"query": batch})["query"], alone.expand(3, -1))


def test_padding_on_the_left_has_no_lengths_and_the_same_embeddings(folder_of):
    folder = folder_of("causal", "lasttoken")
    right, left = Retriever(folder), Retriever(folder)
    left.encoder[0].tokenizer.padding_side = "left"
    batches = [one.tokenize(TEXTS["document"], "document") for one in (right, left)]
    assert "lengths" in batches[0] and "lengths" not in batches[1]
    with torch.no_grad():
        found = [one.embed({"d": batch})["d"] for one, batch in zip((right, left), batches, strict=True)]
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["causal", "bert", "modernbert", "narrow"])
def test_what_is_saved_does_not_tell_how_texts_were_run(folder_of, name, tmp_path, monkeypatch):
    folder = folder_of(name, "mean")
    Retriever(folder).save(tmp_path / "with")
    used = Retriever(folder)
    with torch.no_grad():
        used.embed({"query": used.tokenize(TEXTS["query"], "query")})
    used.save(tmp_path / "used")
    monkeypatch.setattr(module, "longest_packed", lambda *_: 0)
    Retriever(folder).save(tmp_path / "without")
    assert sha256_tree(tmp_path / "with") == sha256_tree(tmp_path / "used")
    assert sha256_tree(tmp_path / "with") == sha256_tree(tmp_path / "without")
    for file in (tmp_path / "with").rglob("*.json"):
        if file.name != "tokenizer.json":
            assert NAME not in json.dumps(json.loads(file.read_text())), file.name

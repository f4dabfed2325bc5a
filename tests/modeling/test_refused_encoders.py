"""Encoders that cannot be trained with are refused before any long work, with what to do."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
from encoder_folders import MODELS, WIDTH, dense, edit, of
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import (
    Normalize,
    Pooling,
    StaticEmbedding,
    WordWeights,
)

from revela.errors import RevelaError
from revela.modeling.trained_encoder import load_trained
from revela.modeling.untrained import build_retriever
from revela.settings import RetrieverSource


def refusal(source: dict) -> str:
    settings = RetrieverSource(**source)
    with pytest.raises(RevelaError) as caught:
        load_trained(Path(settings.name), settings)
    return str(caught.value)


def test_a_pooling_beside_the_models_own_is_refused_by_its_key(encoder):
    said = refusal({**of(encoder()), "pooling": "cls"})
    assert said.startswith("backbone.retriever.pooling is cls, but ") and said.endswith("Take the key out.")


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        (lambda: (Pooling(WIDTH), Pooling(WIDTH, "cls")), "2 poolings cannot be trained with"),
        (lambda: (Normalize(),), "0 poolings cannot be trained with"),
        (lambda: (dense(), Pooling(24)), "Transformer, Dense, Pooling; Dense cannot be trained with"),
        (lambda: (Pooling(WIDTH), WordWeights(["a"], {})), "WordWeights cannot be trained with"),
        (lambda: (Pooling(WIDTH, include_prompt=False),), "its pooling leaves the prompt out"),
        (lambda: (Pooling(WIDTH), dense(48)), "its modules do not fit one another"),
    ],
)
def test_modules_that_cannot_be_trained_with_are_named(encoder, modules, message):
    folder = encoder(*modules())
    said = refusal(of(folder))
    assert f"backbone.retriever '{folder}': " in said and message in said and "Name a" in said


def test_an_encoder_without_a_transformer_is_refused(tmp_path, tokenizer):
    static = StaticEmbedding(tokenizer.backend_tokenizer, embedding_dim=16)
    SentenceTransformer(modules=[static], device="cpu").save(str(tmp_path / "static"))
    assert "StaticEmbedding cannot be trained with" in refusal(of(tmp_path / "static"))


@pytest.mark.parametrize(
    ("file", "keys", "code"),
    [
        ("config.json", {"auto_map": {"AutoModel": "modeling.Own"}}, "AutoModel"),
        ("modules.json", {"type": "custom_st.Own"}, "custom_st.Own"),
    ],
)
def test_code_that_comes_with_a_model_is_not_run(encoder, file, keys, code):
    folder = encoder()
    edit(folder / file, **keys)
    said = refusal(of(folder))
    assert f"it needs code of its own ({code}), which is not run. Name a model" in said


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("modules.json", "{"),
        ("modules.json", "[]"),
        ("modules.json", '{"no": "list"}'),
        ("config.json", "{"),
        ("config.json", '{"model_type": "unheard-of"}'),
        ("config.json", None),
        ("model.safetensors", "x"),
        ("model.safetensors", None),
        ("tokenizer.json", None),
        ("1_Pooling/config.json", "{}"),
    ],
)
def test_a_folder_that_cannot_be_read_is_named_with_what_to_do(encoder, file, content):
    folder = encoder()
    (folder / file).unlink()
    if content is not None:
        (folder / file).write_text(content)
    said = refusal(of(folder))
    assert said.startswith(f"backbone.retriever '{folder}': {folder} cannot be loaded")
    assert said.endswith("Save or download the model anew, or name another one.")


def test_a_tokenizer_has_to_have_a_token_to_pad_with(encoder, tokenizer, tmp_path):
    folder = encoder()
    edit(folder / "tokenizer_config.json", pad_token=None)
    assert load_trained(folder, RetrieverSource(**of(folder))).tokenizer.pad_token == "<eos>"
    edit(folder / "tokenizer_config.json", eos_token=None)
    bare = copy.deepcopy(tokenizer)
    bare.pad_token = bare.eos_token = None
    MODELS["qwen3"]().save_pretrained(tmp_path / "lm")
    bare.save_pretrained(tmp_path / "lm")
    with pytest.raises(RevelaError) as of_an_lm:
        build_retriever(tmp_path / "lm", RetrieverSource(**of(tmp_path / "lm")))
    for said, name in ((refusal(of(folder)), folder), (str(of_an_lm.value), tmp_path / "lm")):
        assert f"backbone.retriever '{name}': its tokenizer has neither a pad nor an eos token" in said
        assert "Set `pad_token`" in said

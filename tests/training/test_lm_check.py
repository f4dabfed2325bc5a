"""The language model's own perplexity before and after, and the language model itself."""

from __future__ import annotations

import json
import math

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from revela.errors import RevelaError
from revela.groups.reading import Groups
from revela.modeling.backbone import prepare_backbone
from revela.settings import BackboneSettings, LmCheckSettings
from revela.training.lm_check import LmCheck
from revela.training.pipeline import train

PHASE = {
    "name": "revela",
    "train": ["lm"],
    "terms": {"revela": 1.0},
    "steps": 3,
    "learning_rate": {"lm": 1e-2},
}


def own_perplexity(folder, texts: list[str], tokenizer) -> float:
    """One text at a time, the plain way."""
    lm = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    losses = []
    for text in texts:
        ids = torch.tensor([tokenizer(text, truncation=True, max_length=160).input_ids])
        logits = lm(input_ids=ids).logits[0, :-1].log_softmax(dim=-1)
        losses += (-logits[torch.arange(ids.shape[1] - 1), ids[0, 1:]]).tolist()
    return math.exp(sum(losses) / len(losses))


def test_perplexity_before_and_after_is_that_of_the_backbone_and_of_the_saved_model(make_settings, places):
    settings = make_settings({"phases": [PHASE], "lm_check": {"groups": 2}, "save_lm": True})
    train(settings, **places)
    found = json.loads((places["report_dir"] / "metrics.json").read_text())["lm_check"]
    groups = Groups(places["groups_dir"])
    texts = [chunk.text for index in (-2, -1) for chunk in groups[index]]
    tokenizer = AutoTokenizer.from_pretrained(places["backbone_dir"] / "lm")
    before = own_perplexity(places["backbone_dir"] / "lm", texts, tokenizer)
    after = own_perplexity(places["models_dir"] / "lm", texts, tokenizer)
    assert found["perplexity_before"] == pytest.approx(before, rel=1e-3)
    assert found["perplexity_after"] == pytest.approx(after, rel=1e-3)
    assert before != pytest.approx(after, rel=1e-3)


def test_a_saved_language_model_is_where_a_later_training_starts(make_settings, places, new_places, tmp_path):
    settings = make_settings({"phases": [PHASE], "lm_check": {"groups": 2}, "save_lm": True})
    train(settings, **places)
    kept = {"kind": "folder", "name": str(places["models_dir"] / "lm")}
    retriever = {"kind": "folder", "name": str(places["backbone_dir"] / "retriever")}
    prepare_backbone(BackboneSettings(retriever=retriever, lm=kept), tmp_path / "backbone")
    later = new_places(tmp_path / "later") | {"backbone_dir": tmp_path / "backbone"}
    train(settings, **later)
    first, second = (
        json.loads((where["report_dir"] / "metrics.json").read_text())["lm_check"]
        for where in (places, later)
    )
    assert second["perplexity_before"] == pytest.approx(first["perplexity_after"], rel=1e-3)
    assert second["perplexity_after"] < first["perplexity_after"], "it goes on learning from there"


def test_held_out_groups_are_not_trained_on(groups_folder, tmp_path):
    groups = Groups(groups_folder)
    whole = list(groups)
    LmCheck(LmCheckSettings(groups=2), groups, None, 64, tmp_path)
    assert list(groups) == whole[:-2]
    with pytest.raises(IndexError):
        groups[len(whole) - 2]


def test_too_many_held_out_groups_are_refused(make_settings, places):
    settings = make_settings({"phases": [PHASE], "lm_check": {"groups": 10_000}})
    with pytest.raises(RevelaError, match="none would be left to train on"):
        train(settings, **places)

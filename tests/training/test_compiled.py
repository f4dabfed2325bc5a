"""`training.compile` changes how a training is computed, and not what it learns."""

from __future__ import annotations

import pytest
import torch
from curves import assert_same_training
from torch._dynamo.utils import counters
from transformers import LlamaPreTrainedModel

from revela.errors import RevelaError
from revela.modeling import layers
from revela.training.model import JointModel
from revela.training.pipeline import train

PHASES = [
    {"name": "contrastive", "train": ["retriever"], "terms": {"contrastive": 1.0}, "steps": 2,
     "learning_rate": {"retriever": 1e-3}},
    {"name": "revela", "train": ["retriever", "lm"], "terms": {"revela": 1.0}, "steps": 2, "rows": "parts",
     "learning_rate": {"retriever": 1e-3, "lm": 1e-3}},
]  # fmt: skip


@pytest.fixture
def settings_of(make_settings, monkeypatch):
    """Settings with `compile` or without; compiling traces all but writes no kernels, which takes minutes."""
    monkeypatch.setattr(layers.compile_layers, "__defaults__", ("aot_eager",))
    torch._dynamo.reset()
    counters.clear()
    yield lambda compile: make_settings({
        "phases": PHASES, "compile": compile, "lora": {"retriever": {"rank": 4, "alpha": 8}, "lm": None},
        "lm_check": {"groups": 1},
    })  # fmt: skip
    torch._dynamo.reset()


def test_the_curve_and_the_retriever_stay_what_they_are(settings_of, new_places, tmp_path):
    plain, compiled = new_places(tmp_path / "plain"), new_places(tmp_path / "compiled")
    train(settings_of(compile=False), **plain)
    assert counters["stats"]["unique_graphs"] == 0
    train(settings_of(compile=True), **compiled)
    assert counters["stats"]["unique_graphs"] > 0
    assert_same_training(compiled, plain, 1e-5)


def test_a_model_whose_layers_have_no_name_is_refused(settings_of, backbone_folder, monkeypatch):
    settings = settings_of(compile=True)
    monkeypatch.setattr(LlamaPreTrainedModel, "_no_split_modules", None)
    with pytest.raises(RevelaError, match=r"training\.compile: .* the retriever, a model of type 'llama'"):
        JointModel(backbone_folder, settings.training, settings.objective, torch.float32)

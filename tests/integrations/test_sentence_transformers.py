"""The loss in sentence-transformers' own trainer: the documented script, and resuming it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
from sentence_transformers import SentenceTransformerTrainingArguments as Arguments
from transformers import AutoTokenizer, set_seed

from revela.errors import RevelaError
from revela.groups.reading import Groups
from revela.integrations.sentence_transformers import (
    STATE_FILE,
    RevelaCheckpoints,
    RevelaCollator,
    RevelaLoss,
    groups_in_order,
)
from revela.modeling import load_lm
from revela.modeling.retriever import Retriever
from revela.objectives import RevelaObjective
from revela.settings import ObjectiveSettings, Phase
from revela.training.collator import GroupCollator
from revela.training.group_slice import StepChunks

PAGE = Path(__file__).parents[2] / "docs" / "sentence_transformers.md"


@pytest.fixture
def rows(groups_folder) -> list[dict[str, str]]:
    return [
        {"query": chunk.query, "passage": chunk.passage} for group in Groups(groups_folder) for chunk in group
    ]


def trainer(backbone_folder, rows, folder: Path, steps: int = 4) -> SentenceTransformerTrainer:
    set_seed(0)
    model = SentenceTransformer(str(backbone_folder / "retriever"), device="cpu")
    loss = RevelaLoss(model, lm=backbone_folder / "lm", lm_max_tokens=32)
    arguments = Arguments(
        str(folder), per_device_train_batch_size=4, batch_sampler=groups_in_order, max_steps=steps,
        learning_rate=1e-2, lr_scheduler_type="constant", save_steps=2, report_to="none", use_cpu=True,
        disable_tqdm=True,
    )  # fmt: skip
    return SentenceTransformerTrainer(
        model, arguments, Dataset.from_list(rows), loss=loss,
        data_collator=RevelaCollator.of(loss), callbacks=[RevelaCheckpoints(loss)],
    )  # fmt: skip


def test_the_documented_script_trains_saves_and_is_at_most_20_lines(
    backbone_folder, groups_folder, tmp_path, monkeypatch
):
    (script,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    body = script[script.index("groups = ") :]
    assert len(body.strip().split("\n")) <= 20
    (tmp_path / "data").mkdir()
    shutil.copytree(backbone_folder, tmp_path / "data" / "backbone")
    shutil.copytree(groups_folder, tmp_path / "data" / "groups")
    monkeypatch.chdir(tmp_path)
    exec(compile(script, str(PAGE), "exec"), {"__name__": "__main__"})
    assert (tmp_path / "runs/revela/checkpoint-20" / STATE_FILE).is_file()
    before = SentenceTransformer("data/backbone/retriever", device="cpu").encode(["def f(): ..."])
    after = SentenceTransformer("runs/revela/retriever", device="cpu").encode(["def f(): ..."])
    assert abs(before - after).max() > 1e-5


def test_the_loss_is_the_objective_on_the_same_group_as_revela_train_computes_it(
    backbone_folder, groups_folder, rows
):
    model = SentenceTransformer(str(backbone_folder / "retriever"), device="cpu")
    loss = RevelaLoss(model, lm=backbone_folder / "lm", lm_max_tokens=32)
    batch = RevelaCollator.of(
        loss, prompts={"query": model.prompts["query"], "passage": model.prompts["document"]}
    )(rows[:4])
    features = [
        {"input_ids": batch[f"{name}_input_ids"], "attention_mask": batch[f"{name}_attention_mask"]}
        for name in ("query", "passage", "lm")
    ]
    found = loss(features)
    retriever = Retriever(backbone_folder / "retriever")
    tokenizer = AutoTokenizer.from_pretrained(backbone_folder / "lm")
    phase = Phase(
        name="revela", train=["retriever"], terms={"revela": 1.0}, steps=1, learning_rate={"retriever": 1.0}
    )
    step = StepChunks(Groups(groups_folder)[0], [], 0)
    group = GroupCollator(retriever, tokenizer, 32, phase)([step])
    queries, passages = retriever(**group["query"]), retriever(**group["passage"])
    expected = RevelaObjective(ObjectiveSettings())(
        load_lm(backbone_folder / "lm"), **group["lm"], queries=queries, passages=passages
    )
    torch.testing.assert_close(found, expected["loss"], atol=1e-6, rtol=0)


def test_the_language_model_trains_and_a_resumed_run_ends_where_an_undisturbed_one_does(
    backbone_folder, rows, tmp_path
):
    whole = trainer(backbone_folder, rows, tmp_path / "whole")
    before = {name: weight.clone() for name, weight in whole.loss.trained_state().items()}
    whole.train()
    after = whole.loss.trained_state()
    assert all(
        not torch.equal(before[name], after[name]) for name in before if name.endswith("q_proj.weight")
    )

    trainer(backbone_folder, rows, tmp_path / "cut", steps=2).train()
    resumed = trainer(backbone_folder, rows, tmp_path / "cut")
    resumed.train(resume_from_checkpoint=True)
    for name, weight in resumed.loss.trained_state().items():
        torch.testing.assert_close(weight, after[name], atol=1e-6, rtol=0)
    for name, weight in resumed.model.state_dict().items():
        torch.testing.assert_close(weight, whole.model.state_dict()[name], atol=1e-6, rtol=0)


def test_a_checkpoint_without_the_language_model_is_refused(backbone_folder, rows, tmp_path):
    trainer(backbone_folder, rows, tmp_path, steps=2).train()
    saved = tmp_path / "checkpoint-2" / STATE_FILE
    assert load_file(saved).keys() == trainer(backbone_folder, rows, tmp_path).loss.trained_state().keys()
    saved.unlink()
    with pytest.raises(RevelaError, match="the language model of this checkpoint is lost"):
        trainer(backbone_folder, rows, tmp_path).train(resume_from_checkpoint=True)


def test_forgetting_the_collator_or_the_tokenizer_is_explained(backbone_folder):
    model = SentenceTransformer(str(backbone_folder / "retriever"), device="cpu")
    with pytest.raises(ValueError, match="give its tokenizer as lm_tokenizer"):
        RevelaLoss(model, lm=load_lm(backbone_folder / "lm"))
    loss = RevelaLoss(model, lm=backbone_folder / "lm")
    with pytest.raises(RevelaError, match=r"data_collator=RevelaCollator\.of\(loss\)"):
        loss([{}, {}])
    with pytest.raises(RevelaError, match="expected two text columns"):
        RevelaCollator.of(loss)([{"text": "alone"}])

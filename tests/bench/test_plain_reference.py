"""What ours is measured against computes the same thing."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM

from bench import plain_reference
from bench.golden import relative
from revela.modeling import conditioned_loss, load_lm
from revela.settings import LoraSettings, ObjectiveSettings, Phase, TrainingSettings
from revela.training.model import JointModel


@pytest.fixture
def group() -> dict[str, torch.Tensor]:
    """Five chunks of twelve tokens, one of them padded."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(2, 500, (5, 12), generator=generator)
    mask = torch.ones_like(ids)
    mask[3, 8:] = 0
    return {"input_ids": ids, "attention_mask": mask, "labels": ids.masked_fill(mask == 0, -100)}


@pytest.fixture
def logits() -> torch.Tensor:
    """Similarities over temperature, spread so far that some pairs weigh less than 1e-6."""
    return 5.0 * torch.randn(5, 5, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("checkpointed", [False, True], ids=["kept_whole", "checkpointed"])
@pytest.mark.parametrize("min_weight", [0.0, 1e-6], ids=["dense", "sparse"])
@pytest.mark.parametrize("v_norm", [True, False], ids=["v_norm", "no_v_norm"])
@pytest.mark.parametrize("temperature", [0.05, 1e-4])
def test_ours_in_float32_equals_the_reference_in_float64(
    causal_lm_folder, group, logits, temperature, v_norm, min_weight, checkpointed
):
    similarities = temperature * logits
    plain = AutoModelForCausalLM.from_pretrained(
        causal_lm_folder, dtype=torch.float64, attn_implementation=plain_reference.NAME
    )
    if checkpointed:
        plain.gradient_checkpointing_enable({"use_reentrant": False})
        plain.train()
    wanted_similarities = similarities.double().requires_grad_()
    wanted, wanted_plain = plain_reference.plain_conditioned_loss(
        plain, **group, similarities=wanted_similarities, temperature=temperature, v_norm=v_norm
    )
    wanted.backward()
    assert wanted.dtype == torch.float64

    ours = load_lm(causal_lm_folder, dtype=torch.float32)
    our_similarities = similarities.clone().requires_grad_()
    found = conditioned_loss(
        ours, **group, similarities=our_similarities, temperature=temperature, v_norm=v_norm,
        min_weight=min_weight, return_plain_loss=True,
    )  # fmt: skip
    found.loss.backward()

    others = ~torch.eye(5, dtype=torch.bool)
    assert (found.weights[others] < 1e-6).any(), "otherwise nothing is left out"
    assert found.loss.item() == pytest.approx(wanted.item(), rel=1e-5)
    assert found.plain_loss.item() == pytest.approx(wanted_plain.item(), rel=1e-5)
    assert relative(our_similarities.grad, wanted_similarities.grad) < 1e-5
    for name, weight in ours.named_parameters():
        assert relative(weight.grad, plain.get_parameter(name).grad) < 1e-4, name


def test_the_chunks_read_each_other(causal_lm_folder, group, logits):
    lm = AutoModelForCausalLM.from_pretrained(causal_lm_folder, attn_implementation=plain_reference.NAME)
    losses = [
        plain_reference.plain_conditioned_loss(lm, **group, similarities=rows, temperature=1.0)[0].item()
        for rows in (logits, -logits)
    ]
    assert losses[0] != pytest.approx(losses[1], rel=1e-4)


def test_before_the_first_step_both_modules_have_the_same_loss(backbone_folder, group):
    lora = LoraSettings(rank=4, alpha=8)
    phase = Phase(
        name="bench", train=["retriever", "lm"], terms={"revela": 1.0}, steps=1,
        learning_rate={"retriever": 1e-4, "lm": 1e-4},
    )  # fmt: skip
    joint = JointModel(
        backbone_folder,
        TrainingSettings(phases=[phase], lora=lora),
        ObjectiveSettings(attention="paper", temperature=0.05),
        torch.float32,
    )
    joint.enter(phase)
    reference = plain_reference.PlainReference(
        backbone_folder / "lm", lora, torch.float32, max_tokens=12, temperature=0.05
    )
    query = {key: group[key][:, :5] for key in ("input_ids", "attention_mask")}
    passage = {key: group[key] for key in ("input_ids", "attention_mask")}

    ours = joint(query=query, passage=passage, lm=group, measure_gain=True)
    plain = reference(query=query, passage=passage, lm=group)
    plain["loss"].backward()

    for figure in ("loss", "plain_loss"):
        assert plain[figure].item() == pytest.approx(ours[figure].item(), rel=1e-5)
    trained = [name for name, weight in reference.named_parameters() if weight.grad is not None]
    assert all("lora" in name for name in trained)
    assert {name.split(".")[0] for name in trained} == {"encoder", "lm"}

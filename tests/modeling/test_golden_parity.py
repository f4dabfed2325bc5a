"""The paper's public implementation computed these vectors; ours must reproduce them.

Tolerances: loss within 1e-5, gradients within 1e-4 of their largest entry.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from bench.golden import golden_lm, relative, run_case
from revela.modeling.versions import checkpoint_activations

GOLDEN = Path(__file__).parents[1] / "data" / "golden"
CASES = sorted(path.stem for path in GOLDEN.glob("llama_tau*.json"))


@pytest.fixture
def inputs() -> dict[str, torch.Tensor]:
    return load_file(GOLDEN / "inputs.safetensors")


@pytest.fixture
def lm():
    return golden_lm(GOLDEN, torch.float32)


def test_all_three_golden_cases_are_there():
    assert CASES == ["llama_tau0.0001_vnorm", "llama_tau0.05_novnorm", "llama_tau0.05_vnorm"]


@pytest.mark.parametrize("checkpointing", [False, True], ids=["plain", "checkpointed"])
@pytest.mark.parametrize("min_weight", [0.0, 1e-6], ids=["dense", "sparse"])
@pytest.mark.parametrize("name", CASES)
def test_loss_logits_and_gradients_equal_the_public_code(lm, inputs, name, min_weight, checkpointing):
    case = json.loads((GOLDEN / f"{name}.json").read_text())
    wanted = load_file(GOLDEN / f"{name}.safetensors")
    if checkpointing:
        checkpoint_activations(lm)
        lm.train()
    read_by_o_proj = []
    for layer in lm.model.layers:
        layer.self_attn.o_proj.register_forward_pre_hook(
            lambda _, args: read_by_o_proj.append(args[0].detach())
        )

    output, grad_similarities = run_case(
        lm, inputs, case, min_weight=min_weight, return_plain_loss=True, return_logits=True
    )

    assert output.loss.item() == pytest.approx(wanted["loss_pass2"].item(), abs=1e-5)
    assert output.plain_loss.item() == pytest.approx(wanted["loss_pass1"].item(), abs=1e-5)
    assert relative(output.weights, wanted["inbatch_weights"]) < 1e-5
    assert relative(grad_similarities, wanted["grad_S"]) < 1e-4
    unpadded = inputs["attention_mask"].bool()
    assert relative(output.logits[unpadded], wanted["logits_pass2"][unpadded]) < 1e-5
    for index in range(2):
        # Rows lie one after the other, without padding, the plain ones first.
        conditioned_tokens = read_by_o_proj[index][0, int(unpadded.sum()) :]
        attended = wanted[f"pass2.layers.{index}.o_proj_input"]
        assert relative(conditioned_tokens, attended[unpadded]) < 1e-5
    gradients = {key.removeprefix("grad."): value for key, value in wanted.items() if key.startswith("grad.")}
    assert len(gradients) == 10
    for parameter, gradient in gradients.items():
        assert relative(lm.get_parameter(parameter).grad, gradient) < 1e-4, parameter


def test_the_head_at_targets_only_gives_the_loss_of_the_head_everywhere(lm, inputs):
    case = {"tau": 0.05, "disable_v_norm": False}
    sparse, sparse_gradient = run_case(lm, inputs, case)
    full, full_gradient = run_case(lm, inputs, case, return_logits=True, return_plain_loss=True)
    assert sparse.logits is None and sparse.plain_loss is None
    assert sparse.loss.item() == pytest.approx(full.loss.item(), abs=1e-6)
    torch.testing.assert_close(sparse_gradient, full_gradient, rtol=1e-5, atol=1e-7)

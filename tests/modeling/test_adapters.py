"""The short forward of adapted layers is peft's own: outputs, gradients, and what is saved."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners import lora
from torch import Tensor, nn

from revela.modeling.adapters import ShortLinear, shorten_adapters

WIDTH = 12


class Small(nn.Module):
    """Two linear layers, the second without bias."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Linear(WIDTH, 20)
        self.down = nn.Linear(20, WIDTH, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(torch.tanh(self.up(x)))


def adapted(dtype: torch.dtype = torch.float32, base_dtype: torch.dtype | None = None, **options):
    """A peft model whose adapters are not zero, as peft computes it."""
    torch.manual_seed(0)
    config = LoraConfig(
        **{"r": 4, "lora_alpha": 6, "target_modules": ["up", "down"], "init_lora_weights": False, **options}
    )
    model = get_peft_model(Small(), config).to(dtype)
    for name, weight in model.named_parameters():
        if base_dtype is not None and "lora" not in name:
            weight.data = weight.data.to(base_dtype)
    return model


def short(model: PeftModel) -> PeftModel:
    """The same weights with the short forward."""
    twin = copy.deepcopy(model)
    assert shorten_adapters(twin) == 2
    return twin


def inputs(dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(3, 5, WIDTH, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)


def computed(model: nn.Module, x: Tensor, autocast: bool = False) -> dict[str, Tensor]:
    """Output and every gradient, the input's too."""
    model.zero_grad()
    x = x.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        output = model(x)
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    (output * weights).sum().backward()
    gradients = {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
    return {"output": output.detach(), "input": x.grad, **gradients}


def assert_same(found: dict[str, Tensor], wanted: dict[str, Tensor], tolerance: float) -> None:
    """Within `tolerance` of the largest entry, in the same precision."""
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert found[name].dtype == value.dtype, name
        scale = value.abs().max().clamp_min(1e-30)
        torch.testing.assert_close(
            found[name] / scale, value / scale, rtol=0, atol=tolerance, msg=lambda m, n=name: f"{n}: {m}"
        )


@pytest.mark.parametrize("base_trains", [False, True], ids=["frozen", "base-trains"])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-6)], ids=["float64", "float32"]
)
def test_output_and_all_gradients_are_pefts(dtype, tolerance, base_trains):
    model = adapted(dtype)
    if base_trains:
        model.requires_grad_(True)
    twin = short(model)
    assert {type(twin.base_model.model.up), type(twin.base_model.model.down)} == {ShortLinear}
    wanted = computed(model, inputs(dtype))
    assert ("base_model.model.up.base_layer.bias" in wanted) == base_trains
    assert_same(computed(twin, inputs(dtype)), wanted, tolerance)


@pytest.mark.parametrize("base_dtype", [torch.float32, torch.bfloat16], ids=["base-float32", "base-bfloat16"])
def test_under_autocast_it_is_within_bfloat16_of_peft(base_dtype):
    model = adapted(base_dtype=base_dtype)
    assert_same(computed(short(model), inputs(), True), computed(model, inputs(), True), 1e-2)


def test_in_one_dimension_and_two_the_shapes_are_those_of_linear():
    twin = short(adapted())
    assert twin(inputs()[0]).shape == (5, WIDTH)
    torch.testing.assert_close(twin(inputs()[0, 0]), twin(inputs())[0, 0])


def test_without_gradient_nothing_is_kept():
    twin = short(adapted())
    with torch.no_grad():
        assert not twin(inputs()).requires_grad


def test_rank_stabilised_adapters_keep_their_scale():
    model = adapted(use_rslora=True)
    assert_same(computed(short(model), inputs()), computed(model, inputs()), 1e-6)


def test_merging_and_unmerging_leave_the_outcome():
    model = adapted(torch.float64)
    twin = short(model)
    wanted = computed(model, inputs(torch.float64))
    twin.merge_adapter()
    torch.testing.assert_close(twin(inputs(torch.float64)), wanted["output"])
    twin.unmerge_adapter()
    assert_same(computed(twin, inputs(torch.float64)), wanted, 1e-10)


def test_disabled_adapters_leave_the_base_model():
    model = adapted()
    twin = short(model)
    layers, base = twin.base_model.model, Small()
    base.up, base.down = layers.up.base_layer, layers.down.base_layer
    with twin.disable_adapter():
        torch.testing.assert_close(twin(inputs()), base(inputs()))
    assert_same(computed(twin, inputs()), computed(model, inputs()), 1e-6)


def test_a_deep_copy_computes_with_its_own_weights():
    twin = short(adapted())
    before = twin(inputs())
    other = copy.deepcopy(twin)
    assert isinstance(other.base_model.model.up, ShortLinear)
    torch.testing.assert_close(other(inputs()), before)
    with torch.no_grad():
        for name, weight in other.named_parameters():
            if "lora_B" in name:
                weight.zero_()
    assert not torch.allclose(other(inputs()), before)
    torch.testing.assert_close(twin(inputs()), before)


def content(path: Path) -> object:
    """What a file says: of JSON its values, since peft writes a set of names in the order of their hashes."""
    if path.suffix != ".json":
        return path.read_bytes()
    values = json.loads(path.read_text())
    return {key: sorted(value) if isinstance(value, list) else value for key, value in values.items()}


def test_what_is_saved_and_what_is_merged_are_pefts(tmp_path):
    model = adapted()
    twin = short(model)
    for name, one in (("peft", model), ("short", twin)):
        one.save_pretrained(tmp_path / name)
    files = [sorted(path.name for path in (tmp_path / name).iterdir()) for name in ("peft", "short")]
    assert files[0] == files[1]
    for name in files[0]:
        wanted, found = (content(tmp_path / folder / name) for folder in ("peft", "short"))
        assert found == wanted, name
    merged, wanted = (one.merge_and_unload() for one in (copy.deepcopy(twin), model))
    assert merged.state_dict().keys() == wanted.state_dict().keys()
    assert type(merged.up) is nn.Linear
    for name, weight in wanted.state_dict().items():
        assert weight.equal(merged.state_dict()[name]), name


@pytest.mark.parametrize("options", [{"lora_dropout": 0.1}, {"use_dora": True}], ids=["dropout", "dora"])
def test_layers_with_more_than_plain_lora_keep_pefts_forward(options):
    model = adapted(**options).eval()
    twin = copy.deepcopy(model)
    assert shorten_adapters(twin) == 0
    assert type(twin.base_model.model.up) is lora.Linear
    assert_same(computed(twin, inputs()), computed(model, inputs()), 0.0)


def test_adapters_with_a_bias_keep_pefts_forward():
    model = adapted(lora_bias=True, target_modules=["up"])
    twin = copy.deepcopy(model)
    assert shorten_adapters(twin) == 0
    assert_same(computed(twin, inputs()), computed(model, inputs()), 0.0)


def with_another(model: PeftModel) -> PeftModel:
    torch.manual_seed(3)
    model.add_adapter("other", LoraConfig(r=2, target_modules=["up", "down"], init_lora_weights=False))
    return model


def test_layers_with_two_adapters_keep_pefts_forward():
    model = with_another(adapted())
    model.base_model.set_adapter(["default", "other"])
    twin = copy.deepcopy(model)
    assert shorten_adapters(twin) == 0
    assert_same(computed(twin, inputs()), computed(model, inputs()), 0.0)


@pytest.mark.parametrize("active", [["default"], ["other"], ["default", "other"]], ids="+".join)
def test_an_adapter_that_is_added_later_counts_where_it_is_active(active):
    twin, model = with_another(short(adapted())), with_another(adapted())
    for one in (twin, model):
        one.base_model.set_adapter(active)
    assert_same(computed(twin, inputs()), computed(model, inputs()), 1e-6)

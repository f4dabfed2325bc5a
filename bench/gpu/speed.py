"""How long a group takes, how much of the card's arithmetic that is, and what speeds it up."""

from __future__ import annotations

import gc
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils import send_to_device
from torch import Tensor

from bench.gpu.kernels import kernels_of
from bench.gpu.shapes import Shape

if TYPE_CHECKING:
    from revela.settings import Phase
    from revela.training.model import JointModel

WARM_UPS, REPEATS = 2, 5
RANK = 256


ROWS = 16
_BILLION = {
    "vocab_size": 128256, "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16,
    "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 64, "rope_theta": 500_000.0,
    "tie_word_embeddings": True,
}  # fmt: skip
"""The published configuration of Llama-3.2-1B."""


def measure(models: Path, shape: Shape, device: torch.device, tiny: bool) -> dict[str, Any]:
    """The row of a shape.

    Args:
        models: folder with ``lm`` and ``retriever``.
        tiny: a rehearsal: two groups of short rows, one repeat.

    Raises:
        Exception: whatever goes wrong with it, be it memory or a kernel.
    """
    from revela.modeling.precision import resolve_dtype

    dtype = resolve_dtype("auto", device)
    peak = _peak(device, dtype)
    row = {
        "what": shape.what, "groups_a_forward": shape.groups, "how": shape.how,
        "matmul_peak_tflops": round(peak / 1e12, 1), "dtype": str(dtype).removeprefix("torch."),
    }  # fmt: skip
    with modelling_as_it_was() if shape.how == "liger" else nullcontext():
        try:
            return row | _measure(models, shape, device, dtype, peak, tiny)
        finally:
            _clean(device)


@cache
def _peak(device: torch.device, dtype: torch.dtype) -> float:
    from bench.flops import best_matmul_peak

    return best_matmul_peak(device, dtype)


def _measure(
    models: Path, shape: Shape, device: torch.device, dtype: torch.dtype, peak: float, tiny: bool
) -> dict[str, Any]:
    from bench.inputs import make_unequal_batches
    from revela.training.group_cost import GroupCost

    groups, tokens = (min(shape.groups, 2), 16) if tiny else (shape.groups, shape.tokens)
    with _models(models, shape, tiny) as folder:
        shortest = tokens if shape.full else tokens // 4
        batch = make_unequal_batches(
            folder / "lm", size=ROWS, groups=groups, longest=tokens, shortest=shortest, parts=shape.parts
        )
        model = _joint_model(folder, shape, dtype, tiny).to(device).train()
        reference = _reference(folder, tokens, dtype, tiny).to(device).train() if shape.reference else None
    inputs = send_to_device(batch, device)
    cost = GroupCost(model)(batch, _phase(shape))
    repeats = 1 if tiny else REPEATS
    ours = _time(lambda: model(**inputs), model, device, dtype, repeats, shape.kernels)
    flops = cost.total(ours["chunks_read"])
    row = {
        "layers": model.causal_lm.config.num_hidden_layers,
        "tokens": cost.tokens,
        "step_s": ours["step_s"],
        "group_s": round(ours["step_s"] / groups, 5),
        "peak_gb": ours["peak_gb"],
        "share_of_matmul_peak": round(flops / ours["step_s"] / peak, 4),
        **ours["kernels"],
    }
    if reference is not None:
        del model
        _clean(device)
        plain = {key: {name: inputs[key][name] for name in _NAMES[key]} for key in _NAMES}
        theirs = _time(lambda: reference(**plain), reference, device, dtype, repeats)
        row |= {
            "reference_s": theirs["step_s"],
            "reference_peak_gb": theirs["peak_gb"],
            "of_reference_a_group": round(ours["step_s"] / groups / theirs["step_s"], 3),
        }
    return row


_NAMES = {
    "query": ("input_ids", "attention_mask"),
    "passage": ("input_ids", "attention_mask"),
    "lm": ("input_ids", "attention_mask", "labels"),
}


def _time(
    forward: Callable[[], dict[str, Tensor]],
    model: torch.nn.Module,
    device: torch.device,
    dtype: torch.dtype,
    repeats: int,
    kernels: bool = False,
) -> dict[str, Any]:
    """Median seconds of a step, forward to weights, and peak memory above the weights, moments included."""
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    cuda = device.type == "cuda"
    optimizer = torch.optim.AdamW(trained, lr=1e-5, fused=cuda or None)
    before = torch.cuda.memory_allocated(device) if cuda else 0
    if cuda:
        torch.cuda.reset_peak_memory_stats(device)
    read = 0.0

    def step() -> None:
        nonlocal read
        with torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
            outputs = forward()
        outputs["loss"].backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        read = outputs.get("chunks_read", read)

    seconds = []
    for turn in range(WARM_UPS + repeats):
        began = time.perf_counter()
        step()
        if cuda:
            torch.cuda.synchronize(device)
        if turn >= WARM_UPS:
            seconds.append(time.perf_counter() - began)
    memory = torch.cuda.max_memory_allocated(device) - before if cuda else 0
    return {
        "step_s": round(statistics.median(seconds), 5),
        "peak_gb": round(memory / 1e9, 2),
        "chunks_read": float(read),
        "kernels": kernels_of(step) if kernels and cuda else {},
    }


def _phase(shape: Shape) -> Phase:
    from revela.settings import Phase

    return Phase(
        name="speed",
        train=["retriever", "lm"],
        terms={"revela": 1.0},
        steps=1,
        learning_rate={"retriever": 1e-4, "lm": 1e-4},
        rows="parts" if shape.parts else "chunks",
    )


def _joint_model(folder: Path, shape: Shape, dtype: torch.dtype, tiny: bool) -> JointModel:
    from bench.case import OBJECTIVES
    from revela.settings import LoraSettings, TrainingSettings
    from revela.training.model import JointModel

    lora = LoraSettings(rank=4 if tiny else RANK, alpha=64)
    training = TrainingSettings(
        phases=[_phase(shape)],
        lora={"retriever": lora, "lm": None if shape.whole_lm else lora},
        gradient_checkpointing=shape.how == "checkpointed",
        compile=shape.how == "compiled",
    )
    model = JointModel(folder, training, OBJECTIVES[shape.attention], dtype)
    model.enter(_phase(shape))
    if shape.how == "liger":
        _use_liger(model)
    return model


@contextmanager
def modelling_as_it_was() -> Iterator[None]:
    """Put back what liger replaces in transformers' module: it would be in every model loaded later."""
    from transformers.models.llama import modeling_llama

    before = dict(vars(modeling_llama))
    try:
        yield
    finally:
        vars(modeling_llama).update(before)


def _use_liger(model: JointModel) -> None:
    if not torch.cuda.is_available():
        raise RuntimeError("liger's kernels need a GPU")
    from liger_kernel.transformers import _apply_liger_kernel_to_instance

    # The loss stays ours: liger's replaces the forward that hands the groups to the layers.
    _apply_liger_kernel_to_instance(
        model=model.causal_lm, fused_linear_cross_entropy=False, cross_entropy=False
    )


def _reference(folder: Path, tokens: int, dtype: torch.dtype, tiny: bool):
    from bench.plain_reference import PlainReference
    from revela.settings import LoraSettings

    lora = LoraSettings(rank=4 if tiny else RANK, alpha=64)
    return PlainReference(folder / "lm", lora, dtype, max_tokens=tokens, temperature=1e-4)


def _models(models: Path, shape: Shape, tiny: bool):
    """The given folder, or one with random weights in the shape of a 1B model, gone afterwards."""
    return _billion(models) if shape.billion and not tiny else nullcontext(models)


class _billion(tempfile.TemporaryDirectory):  # noqa: N801
    """A folder with a random 1B model under the given models' tokenizer; as a context, its path."""

    def __init__(self, models: Path) -> None:
        super().__init__()
        self._models = models

    def __enter__(self) -> Path:
        from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

        from revela.modeling.untrained import build_retriever
        from revela.settings import RetrieverSource

        folder = Path(super().__enter__())
        tokenizer = AutoTokenizer.from_pretrained(self._models / "lm")
        config = LlamaConfig(**_BILLION, eos_token_id=tokenizer.eos_token_id, bos_token_id=None,
                             pad_token_id=tokenizer.pad_token_id, dtype="bfloat16")  # fmt: skip
        # A CPU would draw so many numbers for half a minute.
        with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
            lm = LlamaForCausalLM._from_config(config, dtype=torch.bfloat16)
        lm.save_pretrained(folder / "lm")
        tokenizer.save_pretrained(folder / "lm")
        source = RetrieverSource(kind="folder", name=str(folder / "lm"))
        build_retriever(folder / "lm", source).save(str(folder / "retriever"), create_model_card=False)
        return folder


def _clean(device: torch.device) -> None:
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()

"""What a training step keeps for its backward pass: bytes a token and layer, by counting.

``python -m bench.activation_memory`` counts the tensors that autograd saves in one step of `revela train`'s
module, each storage once, for SmolLM2-135M's widths, at two depths; the difference is what a layer takes.
Writes bench/results/activation_memory.md. The counts hold for a GPU, too, but for its kernels' own buffers.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor

from bench.case import OBJECTIVES
from bench.inputs import make_unequal_batches, prepare_models
from revela.files import atomic_write_text
from revela.settings import LoraSettings, Phase, TrainingSettings
from revela.training.model import JointModel

_DEPTHS = (1, 3)


def saved_bytes(model: JointModel, batch: dict) -> tuple[int, int]:
    """Bytes kept by the embeddings alone, and by the whole forward; weights do not count."""
    storages: dict[int, int] = {}
    kept: list[Tensor] = []  # so that no address is used twice
    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            storages[storage.data_ptr()] = storage.nbytes()
            kept.append(tensor)
        return tensor

    with (
        torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16),
    ):
        views = {name: batch.get(name) for name in ("query", "passage", "rest")}
        embedded = model.embed(views)
        retriever = sum(storages.values())
        model.predict(embedded, batch["lm"], groups=len(batch["sizes"]))
    return retriever, sum(storages.values())


def measure(
    folder: Path, whole_lm: bool, checkpointed: bool, *, groups: int = 2, size: int = 8, tokens: int = 32
) -> dict[str, float]:
    """Bytes a token and layer of retriever and language model.

    A token of the language model counts once in each stream: plain and conditioned.
    """
    found: dict[int, tuple[int, int]] = {}
    lora = LoraSettings(rank=64, alpha=64)
    for layers in _DEPTHS:
        models = folder / str(layers)
        if not models.is_dir():
            prepare_models(models, layers, random=True)
        phase = Phase(name="count", train=["retriever", "lm"], terms={"revela": 1.0}, steps=1, rows="parts",
                      learning_rate={"retriever": 1e-4, "lm": 1e-4})  # fmt: skip
        training = TrainingSettings(
            phases=[phase],
            lora={"retriever": lora, "lm": None if whole_lm else lora},
            gradient_checkpointing=checkpointed,
        )
        model = JointModel(models, training, OBJECTIVES["joint"], torch.bfloat16)
        model.enter(phase)
        batch = make_unequal_batches(
            models / "lm", size=size, groups=groups, longest=tokens, shortest=tokens // 2, parts=True
        )
        found[layers] = saved_bytes(model.train(), batch)
    (few, many), between = (found[layers] for layers in _DEPTHS), _DEPTHS[1] - _DEPTHS[0]
    retriever = sum(sum(batch[name]["lengths"]) for name in ("query", "rest"))
    lm = 2 * sum(batch["lm"]["lengths"])
    return {
        "retriever": (many[0] - few[0]) / between / retriever,
        "lm": ((many[1] - many[0]) - (few[1] - few[0])) / between / lm,
    }


def main(out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("bench/results")) -> None:
    """Count what a layer keeps of a token, with and without gradient checkpointing."""
    lines = [
        "# What a step keeps for its backward pass",
        "",
        "Bytes a token and layer at SmolLM2-135M's widths (576, 1536), bfloat16, joint attention over 4 of 7 "
        "rows of 16 to 32 tokens, adapters of rank 64 on the retriever; a token of the language model counts "
        f"in both streams. torch {torch.__version__}. Made by `python -m bench.activation_memory`.",
        "",
        "| language model trains | checkpointed | retriever | language model |",
        "|---|---|---:|---:|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        for whole_lm in (True, False):
            for checkpointed in (False, True):
                found = measure(Path(folder), whole_lm, checkpointed)
                lines.append(
                    f"| {'whole' if whole_lm else 'adapters'} | {'yes' if checkpointed else 'no'} "
                    f"| {found['retriever']:,.0f} | {found['lm']:,.0f} |"
                )
                print(lines[-1], flush=True)
    out.mkdir(parents=True, exist_ok=True)
    atomic_write_text(out / "activation_memory.md", "\n".join(lines) + "\n")


if __name__ == "__main__":
    typer.run(main)

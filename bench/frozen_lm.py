"""What a frozen language model saves: its plain streams without a backward pass.

``python -m bench.frozen_lm`` prints the ratio and writes bench/results/frozen_lm.md. Both variants compute
the same loss and the same gradient of the similarities, in turns, in one process. The reference differs
in one weight, the last norm's, which trains: so its plain streams are part of the graph.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
import typer

from bench.inputs import make_batches, prepare_models
from bench.machine import describe_machine, machine_line
from bench.measure import timed_step
from bench.tables import publish
from bench.turns import by_turns
from revela.cli.allocator import keep_freed_memory
from revela.modeling import conditioned_loss, load_lm
from revela.modeling.precision import resolve_dtype
from revela.training.processes import default_device


def main(
    layers: Annotated[int, typer.Option(help="Layers of SmolLM2-135M that are kept.")] = 30,
    size: Annotated[int, typer.Option(help="Chunks a group.")] = 16,
    tokens: Annotated[int, typer.Option(help="Tokens a chunk.")] = 96,
    repeats: Annotated[int, typer.Option(help="Timed steps of each variant.")] = 5,
    random: Annotated[bool, typer.Option(help="Random weights.")] = False,
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("bench/results"),
) -> None:
    """Measure a frozen language model's step with and without a gradient in its plain streams."""
    keep_freed_memory()
    device = default_device()
    dtype = resolve_dtype("auto", device)
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder) / "models"
        origin = prepare_models(models, layers, random=random)
        lm = load_lm(models / "lm", dtype=dtype).to(device).requires_grad_(False)
        (batch,) = make_batches(models / "lm", size=size, tokens=tokens, count=1)
    inputs = {key: value.to(device) for key, value in batch["lm"].items()}
    torch.manual_seed(0)
    similarities = (torch.randn(size, size, device=device) * 0.02).requires_grad_()
    last_norm = [weight for name, weight in lm.named_parameters() if "norm" in name][-1]
    optimizer = torch.optim.SGD([similarities], lr=0.0)

    def step() -> torch.Tensor:
        output = conditioned_loss(lm, **inputs, similarities=similarities, temperature=0.02,
                                  attention="joint", top_k=4, min_weight=1e-6)  # fmt: skip
        return output.loss

    def timed(with_gradient: bool) -> tuple[float, float]:
        last_norm.requires_grad_(with_gradient)
        times, loss = timed_step(step, optimizer, device)
        last_norm.grad = None
        return times.step_s, loss

    found = by_turns(
        {"without": partial(timed, False), "with": partial(timed, True)}, repeats, device, warm_up=1
    )
    ours, reference = found["without"], found["with"]
    assert abs(ours.given - reference.given) < 1e-2, found
    text = (
        "# A frozen language model's step\n\n"
        f"{size} chunks of {tokens} tokens, joint attention over the 4 nearest, {layers} layers ({origin}); "
        f"median of {repeats} steps each, taking turns.\n\n"
        "| plain streams | seconds a step | memory, MiB |\n|---|---:|---:|\n"
        f"| with a backward pass | {reference.seconds:.3f} | {reference.memory / 2**20:.0f} |\n"
        f"| without | {ours.seconds:.3f} | {ours.memory / 2**20:.0f} |\n"
        f"| ratio | {ours.seconds / reference.seconds:.2f} | {ours.memory / reference.memory:.2f} |\n\n"
        f"{machine_line(describe_machine(device, dtype))}\n"
    )
    publish(text, out, "frozen_lm")


if __name__ == "__main__":
    typer.run(main)

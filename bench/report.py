"""What the benchmark leaves behind: rows as JSON, tables as Markdown, a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from bench.machine import machine_line
from bench.measure import growth_exponent
from revela.files import atomic_write_text, write_json

Row = dict[str, Any]

NAME = "in_batch_attention"
EXPONENT_FROM = 16  # below, a step's fixed costs bend the curve
_COLOURS = {("ours", "paper"): "#1f5fa8", ("ours", "joint"): "#3a9b6f", ("reference", "paper"): "#c0504d"}


def write_report(out_dir: Path, rows: list[Row], run: dict[str, Any]) -> None:
    """Write in_batch_attention.json, .md, .png and in_batch_attention_run.json.

    Args:
        rows: of :func:`bench.case.measure_case`.
        run: ``machine``, ``settings``, ``peak_flops`` (FLOP/s) and ``failures``, a list of
            ``{"case": ..., "reason": ...}``.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    write_json(out_dir / f"{NAME}.json", rows)
    figures = {"exponents": exponents(rows), "ratios": ratios(rows)}
    write_json(out_dir / f"{NAME}_run.json", {**run, **figures})
    atomic_write_text(out_dir / f"{NAME}.md", markdown(rows, run))
    _plot(rows, out_dir / f"{NAME}.png")


def _series(rows: list[Row]) -> dict[tuple[str, str, bool], list[Row]]:
    """(impl, attention, checkpointed) -> rows by rising B."""
    found: dict[tuple[str, str, bool], list[Row]] = {}
    for row in sorted(rows, key=lambda row: row["B"]):
        found.setdefault((row["impl"], row["attention"], row["checkpointed"]), []).append(row)
    return found


def exponents(rows: list[Row]) -> list[Row]:
    """The p of time ~ B^p and memory ~ B^p of every implementation measured at two B or more."""
    found = []
    for (impl, attention, checkpointed), series in _series(rows).items():
        series = [row for row in series if row["B"] >= EXPONENT_FROM]
        sizes = [row["B"] for row in series]
        if len(set(sizes)) < 2:
            continue
        found.append(
            {
                "impl": impl,
                "attention": attention,
                "checkpointed": checkpointed,
                "from": sizes[0],
                "to": sizes[-1],
                "step_s": round(growth_exponent(sizes, [row["step_s"] for row in series]), 3),
                "peak_mb": round(growth_exponent(sizes, [row["peak_mb"] for row in series]), 3),
            }
        )
    return found


def ratios(rows: list[Row]) -> list[Row]:
    """Ours over the reference, of the same steps, wherever they took turns."""
    together = {(row["impl"], row["B"]): row for row in rows if row["alternating"]}
    found = []
    for (impl, size), ours in together.items():
        reference = together.get(("reference", size))
        if impl == "ours" and reference is not None:
            parts = ("step_s", "forward_s", "backward_s", "peak_mb")
            found.append(
                {"B": size, "checkpointed": ours["checkpointed"]}
                | {part: round(ours[part] / reference[part], 4) for part in parts}
            )
    return found


def markdown(rows: list[Row], run: dict[str, Any]) -> str:
    """The result as tables, the machine named."""
    machine, settings = run["machine"], run["settings"]
    parts = [
        "# In-batch attention: ours and a plain reference",
        f"{settings['model']}, {settings['layers']} layer(s), LoRA r = {settings['rank']} on retriever and "
        f"language model, {machine['dtype']}, L = {settings['tokens']}; "
        f"median of {settings['repeats']} steps each. "
        "Written by `revela bench`; how to read it: [README](../README.md).",
        "Ours keeps freed memory for the next step, as `revela train` does; "
        f"by the reference it is {settings['reference_memory']}.",
        f"Machine: {machine_line(machine)}. Fastest matrix product: {run['peak_flops'] / 1e9:.0f} GFLOP/s.",
        "## Ours over the reference",
        _table(
            ["B", "gradients", "step time", "forward", "backward", "peak memory"],
            [
                [row["B"], _gradients(row)]
                + [f"{row[part]:.3f}" for part in ("step_s", "forward_s", "backward_s", "peak_mb")]
                for row in ratios(rows)
            ],
        ),
        "## Growth with B",
        "The p of time ~ B^p and of memory ~ B^p, by least squares.",
        _table(
            ["implementation", "attention", "gradients", "B", "step time", "peak memory"],
            [
                [row["impl"], row["attention"], _gradients(row), f"{row['from']} to {row['to']}"]
                + [f"{row[part]:.2f}" for part in ("step_s", "peak_mb")]
                for row in exponents(rows)
            ],
        ),
        "## Everything measured",
        _table(
            ["attention", "B", "gradients", "implementation", "forward, s", "backward, s", "optimizer, s",
             "step, s", "peak above weights, MB", "share of the limit"],
            [_cells(row, run["peak_flops"]) for row in rows],
        ),
    ]  # fmt: skip
    if run["failures"]:
        parts += ["## Not measured"]
        parts += ["\n".join(f"- {failure['case']}: {failure['reason']}" for failure in run["failures"])]
    return "\n\n".join(parts) + "\n"


def _cells(row: Row, peak_flops: float) -> list[Any]:
    times = [f"{row[part]:.3f}" for part in ("forward_s", "backward_s", "optimizer_s", "step_s")]
    share = row["flops"] / row["step_s"] / peak_flops
    who = row["impl"] + (" (alternating)" if row["alternating"] else " (alone)")
    cells = [row["attention"], row["B"], _gradients(row), who, *times]
    return [*cells, f"{row['peak_mb']:.0f}", f"{share:.0%}"]


def _gradients(row: Row) -> str:
    return "checkpointed" if row["checkpointed"] else "kept whole"


def _table(header: list[str], rows: list[list[Any]]) -> str:
    if not rows:
        return "None."
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, cells))} |" for cells in lines)


def _plot(rows: list[Row], target: Path) -> None:
    figure = Figure(figsize=(10, 4.2), dpi=120, layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, (part, label) in zip(
        panels, (("step_s", "step, s"), ("peak_mb", "peak memory above the weights, MB")), strict=True
    ):
        for (impl, attention, checkpointed), series in _series(rows).items():
            axes.plot(
                [row["B"] for row in series],
                [row[part] for row in series],
                marker="o",
                linestyle=":" if checkpointed else "-",
                color=_COLOURS[impl, attention],
                label=f"{impl}, {attention}{', checkpointed' if checkpointed else ''}",
            )
        sizes = sorted({row["B"] for row in rows})
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.set_xlabel("B, chunks a group")
        axes.set_ylabel(label)
        axes.grid(True, which="both", linewidth=0.3)
    panels[0].legend(frameon=False, fontsize="small")
    figure.savefig(target, metadata={"Software": None})

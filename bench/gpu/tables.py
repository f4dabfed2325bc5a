"""The rows of one or several runs as Markdown tables, at the end of a run and in the report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from bench.gpu.compared import Row, of_last_attempts, over_seeds

_NOT_SHOWN = ("step", "kind", "at", "card", "torch", "transformers", "source")


def markdown(rows: Sequence[Row], compared: Sequence[Row] = ()) -> str:
    """All tables, each under its heading; one without rows is left out.

    Args:
        compared: of :func:`bench.gpu.compared.comparisons`.
    """

    def of(kind: str) -> list[Row]:
        found = [row for row in rows if row["kind"] == kind]
        return of_last_attempts(rows, found) if kind in ("parity", "speed", "time", "bm25") else found

    parts = [
        ("Machines", _machines(rows)),
        ("Parity", _generic(of("parity"))),
        ("Speed", _generic(of("speed"))),
        ("Seconds of a training step", _times(of("time"))),
        ("Learning: nDCG@10 at the end, mean ± deviation over seeds", _learning(rows)),
        ("BM25", _generic(of("bm25"))),
        ("Significance: difference of nDCG@10, paired by query", _compared(compared)),
        ("At the end of each phase (gain in nats a token)", _phases([*of("adapted"), *of("score")])),
        ("On the way", _probes(of("probe"))),
        ("How the steps went", _steps(of("step"))),
    ]
    return "\n\n".join(f"## {title}\n\n{table}" for title, table in parts if table) + "\n"


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table; empty when there are no rows."""
    lines = [[_cell(value) for value in row] for row in rows]
    if not lines:
        return ""
    return "\n".join(f"| {' | '.join(line)} |" for line in [list(header), ["---"] * len(header), *lines])


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return _named(value)
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")


def _source(row: Row) -> str:
    return row.get("source") or "this run"


def _machines(rows: Sequence[Row]) -> str:
    seen = dict.fromkeys(
        (_source(row), row.get("card"), row.get("torch"), row.get("transformers")) for row in rows
    )
    return table(["source", "card", "torch", "transformers"], seen)


def _generic(rows: Sequence[Row]) -> str:
    """A column for every figure that some row has, in the order of first appearance."""
    columns = list(dict.fromkeys(key for row in rows for key in row if key not in _NOT_SHOWN))
    return table(
        ["source", *columns],
        ([_source(row), *(row.get(column) for column in columns)] for row in rows),
    )


def _times(rows: Sequence[Row]) -> str:
    return table(
        ["source", "experiment", "groups a step", "step, s", "beside the steps, s", "evaluation, s"],
        (
            [_source(row), row["experiment"], row["groups_a_step"], _named(row["step_s"]),
             _named(row["overhead_s"]), row["evaluation_s"]]
            for row in rows
        ),
    )  # fmt: skip


def _named(figures: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in figures.items())


def _learning(rows: Sequence[Row]) -> str:
    found = over_seeds(rows)
    benchmarks = list(dict.fromkeys(name for row in found for name in row["ndcg"]))
    return table(
        ["source", "start", "method", "seeds", "groups", "seconds", *benchmarks],
        (
            [_source(row), row["experiment"], row["method"], row["seeds"], round(row["groups"]),
             row["training_s"], *(_mean_and_deviation(row["ndcg"].get(name)) for name in benchmarks)]
            for row in found
        ),
    )  # fmt: skip


def _mean_and_deviation(value: tuple[float, float | None] | None) -> str:
    if value is None:
        return ""
    mean, deviation = value
    return f"{mean:.3f}" if deviation is None else f"{mean:.3f} ± {deviation:.3f}"


def _compared(rows: Sequence[Row]) -> str:
    return table(
        ["source", "start", "benchmark", "a", "b", "seeds", "queries", "a - b", "95 %", "p (Holm)"],
        (
            [_source(row), *(row[key] for key in ("experiment", "benchmark", "a", "b", "seeds", "queries")),
             f"{row['difference']:+.3f}", f"{row['low']:+.3f} to {row['high']:+.3f}", row["p"]]
            for row in rows
        ),
    )  # fmt: skip


def _phases(rows: Sequence[Row]) -> str:
    """What the last steps of each run's phases had."""
    newest = {(row.get("source"), row["step"]): row for row in rows if row.get("figures")}
    columns = ("steps", "gain", "effective_chunks", "conditioned_loss", "contrastive_loss")
    return table(
        ["source", "run", "phase", *columns],
        (
            [_source(row), row["step"], phase, *(figures.get(column) for column in columns)]
            for row in newest.values()
            for phase, figures in row["figures"].items()
        ),
    )


def _probes(rows: Sequence[Row]) -> str:
    """The newest probe at each number of groups: a training that went on after a kill measures some again."""
    newest = {(row.get("source"), row["run"], row["groups"]): row for row in rows}
    found = sorted(newest.values(), key=lambda row: (str(row.get("source")), row["run"], row["groups"]))
    benchmarks = list(dict.fromkeys(name for row in found for name in row["ndcg"]))
    return table(
        ["source", "run", "groups", "seconds", *benchmarks],
        (
            [_source(row), row["run"], row["groups"], row["training_s"],
             *(row["ndcg"].get(name) for name in benchmarks)]
            for row in found
        ),
    )  # fmt: skip


def _steps(rows: Sequence[Row]) -> str:
    """Each step's newest state."""
    newest = {(row.get("source"), row["step"]): row for row in rows}
    return table(
        ["source", "step", "status", "seconds", "expected, s", "why"],
        (
            [_source(row), row["step"], row["status"], row.get("seconds"), row.get("expected_s"),
             row.get("error") or row.get("reason")]
            for row in newest.values()
        ),
    )  # fmt: skip

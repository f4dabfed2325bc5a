"""How a reproduction came out, to read."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from revela.evaluation.report import SUBJECT
from revela.registry.reproduction.scores import TOLERANCE, Row


def table(rows: Sequence[Row]) -> Table:
    """The retriever's metrics, and those of any other model that do not agree."""
    shown = Table("benchmark", "model", "metric", title="Scores, then and now", title_justify="left")
    shown.add_column("kept", justify="right")
    shown.add_column("now", justify="right")
    shown.add_column("")
    for row in rows:
        if row.model == SUBJECT or row.differs:
            said = row.differs or f"equal within {TOLERANCE:g}"
            shown.add_row(row.benchmark, row.model, row.metric, _shown(row.kept), _shown(row.now), said)
    return shown


def agreement(rows: Sequence[Row]) -> str:
    """The outcome in a sentence."""
    models = list(dict.fromkeys(row.model for row in rows))
    failed = sum(row.differs is not None for row in rows)
    what = f"{len(rows)} metrics of {', '.join(models)}"
    if failed:
        return f"NOT reproduced: {failed} of {what} differ"
    return f"reproduced: {what} are equal, query by query, within {TOLERANCE:g}"


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}"

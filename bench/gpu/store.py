"""What a run has found so far: one JSON object a line, on the disk before the next step begins."""

from __future__ import annotations

import functools
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Row = dict[str, Any]

RESULTS = "results.jsonl"
PER_QUERY = "per_query.jsonl"


class Store:
    """The folder OUT of one or several `run`s.

    Every row says of which step it is and of what kind; rows of kind ``step`` say how the step went, by
    ``status``: begun, done, failed, stopped, left out.

    Args:
        out: made if need be; rows of earlier runs are kept.
        about: stands in every row (card, versions).
    """

    def __init__(self, out: Path, about: Mapping[str, Any]) -> None:
        out.mkdir(parents=True, exist_ok=True)
        self.out = out
        self._about = dict(about)
        self.rows = read_lines(out / RESULTS)

    def add(self, **row: Any) -> Row:
        """Write one row; when this returns the disk has it."""
        whole = {**row, "at": round(time.time(), 1), **self._about}
        _append(self.out / RESULTS, whole)
        self.rows.append(whole)
        return whole

    def add_per_query(self, run: str, benchmark: str, scores: list[float]) -> None:
        """Keep nDCG@10 of every query, in the order of the sorted query ids."""
        row = {"run": run, "benchmark": benchmark, "ndcg_at_10": [round(score, 4) for score in scores]}
        _append(self.out / PER_QUERY, row)

    def found(self, **wanted: Any) -> list[Row]:
        """The rows with these values, oldest first."""
        return [row for row in self.rows if all(row.get(key) == value for key, value in wanted.items())]

    def last(self, **wanted: Any) -> Row | None:
        """The newest of them, or None."""
        return next(reversed(self.found(**wanted)), None)

    def is_done(self, step: str) -> bool:
        """Whether the last attempt at this step, of whichever run, has finished it."""
        last = self.last(kind="step", step=step)
        return last is not None and last["status"] == "done"


def read_lines(path: Path) -> list[Row]:
    """All whole lines of a file of :class:`Store`; one that a kill cut short is passed over."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return rows


def _append(path: Path, row: Row) -> None:
    data = json.dumps(row, ensure_ascii=False).encode()
    # After a line that was cut short the new one must not be lost, too.
    torn = path.is_file() and path.stat().st_size and path.read_bytes()[-1:] != b"\n"
    with path.open("ab") as file:
        file.write((b"\n" if torn else b"") + data + b"\n")
        file.flush()
        os.fsync(file.fileno())


@functools.cache
def machine() -> dict[str, str]:
    """Card and versions, as they stand in every row."""
    import torch
    import transformers

    card = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "CPU"
    return {"card": card, "torch": torch.__version__, "transformers": transformers.__version__}

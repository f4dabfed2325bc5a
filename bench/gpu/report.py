"""Results of one or several runs into one page: results.json, report.md, learning.png."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from bench.gpu.compared import Row, comparisons
from bench.gpu.store import PER_QUERY, RESULTS, read_lines
from bench.gpu.tables import markdown
from revela.errors import RevelaError
from revela.files import atomic_write_text, write_json

RESULTS_DIR = Path(__file__).parents[1] / "results" / "gpu"
_PATH = re.compile(r"(?<![\w/.])/(?:[^\s/'\":]+/)+([^\s/'\":]+)")

LABORATORY = Path(__file__).with_name("laboratory.json")


def write_report(outs: Sequence[Path], into: Path = RESULTS_DIR) -> Path:
    """Write the three files into `into` and return the page.

    The first rows are those of the laboratory loop that came before this command; then come those of the
    runs that are kept below it, then the given ones.

    Args:
        outs: folders that `run` wrote; runs on one folder are one.
        into: its folder ``runs`` has what is kept, such a folder each.

    Raises:
        RevelaError: a folder has no results.
    """
    from bench.gpu.picture import plot_learning

    rows: list[Row] = json.loads(LABORATORY.read_text(encoding="utf-8"))
    compared: list[Row] = []
    for out in [*sorted(path for path in (into / "runs").glob("*") if path.is_dir()), *outs]:
        mine = read_lines(out / RESULTS)
        if not mine:
            raise RevelaError(
                f"{out}: no {RESULTS} there; give the folder that `python -m bench.gpu run` wrote."
            )
        source = out.resolve().name
        compared += [{"source": source, **row} for row in comparisons(mine, read_lines(out / PER_QUERY))]
        rows += [{"source": source, **_without_places(row)} for row in mine]
    into.mkdir(parents=True, exist_ok=True)
    write_json(into / "results.json", {"rows": rows, "compared": compared})
    picture = into / "learning.png"
    drawn = plot_learning(rows, picture)
    if not drawn:
        picture.unlink(missing_ok=True)
    page = into / "report.md"
    atomic_write_text(page, _page(rows, compared, drawn))
    return page


def _page(rows: Sequence[Row], compared: Sequence[Row], drawn: bool) -> str:
    parts = [
        "# What a GPU's minutes measured",
        "Written by `python -m bench.gpu report`; how to read it: [README](../../README.md). "
        "Rows of the source `laboratory loop` were measured by scripts over the same functions before this "
        "command existed: what they say of learning is no measurement of `revela train`.",
    ]
    if drawn:
        parts.append("![learning curves](learning.png)")
    return "\n\n".join([*parts, markdown(rows, compared)])


def _without_places(row: Row) -> Row:
    """Without the traceback; of paths in an error the last part, for the rest is another machine's."""
    kept = {key: value for key, value in row.items() if key != "traceback"}
    if "error" in kept:
        kept["error"] = _PATH.sub(r"\1", kept["error"])
    return kept

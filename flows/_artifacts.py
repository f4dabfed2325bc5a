"""What a finished pipeline shows on its page in Prefect's UI.

Pictures stand in the text itself as ``data:`` addresses: Prefect keeps no files, and what lies beside the
report on this machine cannot be reached from a browser elsewhere.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prefect.artifacts import create_markdown_artifact, create_table_artifact

MLFLOW_UI = "REVELA_MLFLOW_UI"
"""Environment variable: where MLflow's pages are, such as http://127.0.0.1:5000; `make serve` sets it."""

PLOTS = {
    "evaluate/scores.png": "Scores with intervals",
    "report/learning_curves.png": "Learning curves of the probe",
    "train/curve.png": "Training",
    "build_batches/groups.png": "Groups",
    "filter_corpus/drops.png": "Documents dropped, by rule",
    "filter_corpus/kept.png": "Documents kept, by source",
    "filter_corpus/lengths.png": "Lengths of documents",
}
_PICTURE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+\.png)\)")


def show(registered: Mapping[str, Any], results: Path) -> None:
    """Make the artifacts ``decision``, ``results``, ``plots`` and ``report`` of the present flow run.

    Args:
        registered: what ``revela register --json`` wrote.
        results: folder of the stages' reports.
    """
    create_markdown_artifact(
        key="decision", markdown=decision(registered), description="Promoted or not, and why"
    )
    metrics = json.loads((results / "evaluate" / "metrics.json").read_text(encoding="utf-8"))
    create_table_artifact(key="results", table=score_rows(metrics), description="Every model's scores")
    create_markdown_artifact(key="plots", markdown=plots(results), description="Plots of all stages")
    report = results / "report" / "report.md"
    inlined = with_pictures(report.read_text(encoding="utf-8"), report.parent)
    create_markdown_artifact(key="report", markdown=inlined, description=f"{report.with_suffix('.html')}")


def decision(registered: Mapping[str, Any]) -> str:
    """Version, aliases, the gate's checks against the champion and where to look, as Markdown."""
    name, version = registered["name"], registered["version"]
    aliases = ", ".join(f"@{alias}" for alias in registered["aliases"]) or "none"
    lines = [
        f"# {name} version {version}",
        "",
        f"**{registered['verdict']}**",
        "",
        f"- aliases: {aliases}",
    ]
    if registered["reason"] != registered["verdict"]:
        lines.append(f"- decided when it was registered: {registered['reason']}")
    if registered["checks"]:
        lines += ["", "| check | verdict | figures |", "|---|---|---|"]
        for check, said in registered["checks"].items():
            verdict, _, figures = said.partition(": ")
            lines.append(f"| {check} | {verdict} | {figures.replace('|', chr(92) + '|')} |")
    return "\n".join([*lines, "", *_links(registered), ""])


def _links(registered: Mapping[str, Any]) -> list[str]:
    store = registered["tracking_uri"]
    page = os.environ.get(MLFLOW_UI) or (store if store.startswith("http") else None)
    if page is None:
        return [f"MLflow: run `{registered['run_id']}` in `{store}`; `make ui` shows it."]
    page = page.rstrip("/")
    run = f"{page}/#/experiments/{registered['experiment_id']}/runs/{registered['run_id']}"
    version = f"{page}/#/models/{registered['name']}/versions/{registered['version']}"
    return [f"In MLflow: [the run]({run}) · [the model version]({version})"]


def score_rows(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row a benchmark and model, a column a metric; the order is that of metrics.json."""
    return [
        {"benchmark": benchmark, "model": model, **scores}
        for benchmark, models in metrics.items()
        for model, scores in models.items()
    ]


def plots(results: Path) -> str:
    """The stages' plots that are there, under headings, as Markdown that needs no files."""
    found = {path: title for path, title in PLOTS.items() if (results / path).is_file()}
    return "\n\n".join(f"## {title}\n\n![{title}]({_data(results / path)})" for path, title in found.items())


def with_pictures(markdown: str, folder: Path) -> str:
    """`markdown` with its pictures, which lie in `folder`, put into the text."""
    return _PICTURE.sub(lambda found: f"![{found[1]}]({_data(folder / found[2])})", markdown)


def _data(picture: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(picture.read_bytes()).decode()}"

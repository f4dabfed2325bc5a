"""The report as one HTML file that needs nothing else, and as Markdown beside its pictures."""

from __future__ import annotations

import base64
import io
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from matplotlib.figure import Figure

from revela.evaluation.report import PRIMARY, SUBJECT
from revela.files import atomic_directory, atomic_write_text
from revela.reporting.figures import all_figures
from revela.reporting.gather import Reported, gather

CAPTIONS = {
    "scores": "nDCG@10 of every model on every benchmark.",
    "learning_curves": "Quality while training, on the probe's few queries: to be read as a trend.",
    "ablations": "What each ablation gains or loses against this run's retriever, or against another one.",
    "cost": "Quality against time of training on the machine that ran the ablations.",
}


def write_report(results: Path, out_dir: Path) -> Path:
    """Write report.html, report.md and the pictures; the folder is replaced as a whole.

    Returns:
        The HTML file.

    Raises:
        RevelaError: a stage has not run.
    """
    reported = gather(results)
    pictures = {name: _png(figure) for name, figure in all_figures(reported).items()}
    content = _content(reported, pictures)
    environment = jinja2.Environment(
        autoescape=jinja2.select_autoescape(["html.jinja"]), trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    templates = resources.files("revela.reporting") / "templates"
    with atomic_directory(out_dir) as folder:
        for name, data in pictures.items():
            (folder / f"{name}.png").write_bytes(data)
        for name in ("report.html", "report.md"):
            environment.autoescape = name.endswith(".html")
            template = environment.from_string((templates / f"{name}.jinja").read_text(encoding="utf-8"))
            atomic_write_text(folder / name, template.render(**content))
    return out_dir / "report.html"


def _content(reported: Reported, pictures: dict[str, bytes]) -> dict[str, Any]:
    benchmarks = list(reported.metrics)
    models = list(dict.fromkeys(model for table in reported.metrics.values() for model in table))
    means = {(row["benchmark"], row["model"]): row for row in reported.means.to_dict(orient="records")}
    against = {(row["benchmark"], row["against"]): row for row in reported.comparisons["comparisons"]}
    return {
        "subject": SUBJECT,
        "summary": _summary(benchmarks, against),
        "benchmarks": benchmarks,
        "models": models,
        "means": means,
        "against": against,
        "test": reported.comparisons["test"],
        "pictures": [
            {"name": name, "caption": CAPTIONS[name], "data": base64.b64encode(data).decode()}
            for name, data in pictures.items()
        ],
        "ablations": _ablation_rows(reported),
        "training": reported.training,
        "lm_check": reported.lm_check,
        "kept": reported.kept,
        "beginning": reported.beginning,
        "examples": reported.examples,
    }


def _summary(benchmarks: list[str], against: dict[tuple[str, str], dict[str, Any]]) -> list[str]:
    """A sentence a benchmark: where the retriever stands to the best lexical baseline and to no training."""
    lines = []
    for benchmark in benchmarks:
        lexical = next((name for name in ("bm25_identifiers", "bm25") if (benchmark, name) in against), None)
        said = []
        for other in filter(None, (lexical, "untrained", "hybrid")):
            row = against.get((benchmark, other))
            if row is not None:
                verdict = row["verdict"]
                unclear = verdict == "not significant"
                how = "not significantly different from" if unclear else f"{verdict} than"
                said.append(f"{how} {other} ({row['difference']:+.3f})")
        lines.append(f"{benchmark}: the retriever is {', '.join(said)}." if said else f"{benchmark}.")
    return lines


def _ablation_rows(reported: Reported) -> list[dict[str, Any]]:
    """A row an ablation: per benchmark the mean over seeds and the lead; steps, tokens, minutes."""
    rows: dict[str, dict[str, Any]] = {}
    for row in reported.ablations:
        new = {"seeds": set(), "scores": {}, "walls": [], "tokens": [], "steps": row["steps"]}
        mine = rows.setdefault(row["name"], new)
        mine["seeds"].add(row["seed"])
        mine["scores"].setdefault(row["benchmark"], []).append(row[PRIMARY])
        mine["walls"].append(row["wall_s"])
        mine["tokens"].append(row["tokens"])
    leads = {(row["name"], row["benchmark"]): row for row in reported.leads if row["against"] == SUBJECT}
    return [
        {
            "name": name,
            "seeds": len(row["seeds"]),
            "steps": row["steps"],
            "tokens": sum(row["tokens"]) / len(row["tokens"]),
            "minutes": None if None in row["walls"] else sum(row["walls"]) / len(row["walls"]) / 60,
            "scores": {benchmark: sum(values) / len(values) for benchmark, values in row["scores"].items()},
            "leads": {benchmark: leads.get((name, benchmark)) for benchmark in row["scores"]},
        }
        for name, row in rows.items()
    ]


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()

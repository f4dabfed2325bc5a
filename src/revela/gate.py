"""May the challenger become champion? Each check says yes or no, and why."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from revela.evaluation.report import SUBJECT
from revela.evaluation.significance import Comparison, compare, holm
from revela.settings import RegistrySettings

ALPHA = 0.05
_RESAMPLES = 10_000
_TOLERANCE = 1e-4
_TEXTS = [
    "how do I merge two data frames?",
    "def area(r):\n    return 3.14159 * r * r",
    "The quick brown fox jumps over the lazy dog.",
    "a",
]
_SPEED_TEXTS = 64
_PROBE = """
import json, sys, time
import mlflow
model = mlflow.sentence_transformers.load_model(sys.argv[1])
texts, many = json.loads(sys.argv[2])
vectors = [model.encode_query(texts).tolist(), model.encode_document(texts).tolist()]
model.encode_document(many[:8])
started = time.perf_counter()
model.encode_document(many)
speed = len(many) / (time.perf_counter() - started)
print("RESULT", json.dumps({"vectors": vectors, "texts_per_second": speed}))
"""


@dataclass(frozen=True)
class Check:
    """One verdict.

    Attributes:
        name: a stable word, the tag ``gate.<name>`` of the version.
        said: the figures, in words.
    """

    name: str
    passed: bool
    said: str

    def __str__(self) -> str:
        return f"{'passed' if self.passed else 'failed'}: {self.said}"


def compare_scores(
    settings: RegistrySettings, challenger: pd.DataFrame, champion: pd.DataFrame
) -> list[Check]:
    """Significantly better on the primary benchmark, not significantly worse on any guarded one.

    Args:
        challenger, champion: per-query tables of the stage evaluate (benchmark, model, query_id, metrics).

    Returns:
        A check named ``primary`` and one named ``guarded``, paired randomisation tests at level 0.05; Holm's
        correction over the guarded benchmarks.

    Raises:
        RevelaError: the two were scored on different queries of a benchmark.
    """
    metric = settings.primary_metric
    mine, theirs = (table[table["model"] == SUBJECT] for table in (challenger, champion))
    shared = [name for name in dict.fromkeys(mine["benchmark"]) if name in set(theirs["benchmark"])]

    def compared(benchmark: str) -> Comparison:
        pair = (table[table["benchmark"] == benchmark] for table in (mine, theirs))
        return compare(*pair, metric=metric, resamples=_RESAMPLES, seed=0)

    primary = compared(settings.primary_benchmark)
    checks = [
        Check(
            "primary",
            primary.difference > 0 and primary.p < ALPHA,
            f"{metric} on {settings.primary_benchmark} {primary.mean_a:.4f} against {primary.mean_b:.4f} "
            f"(p = {primary.p:.2g})",
        )
    ]
    guarded = settings.guarded if settings.guarded is not None else shared
    names = [name for name in guarded if name in shared and name != settings.primary_benchmark]
    found = {name: compared(name) for name in names}
    adjusted = dict(zip(names, holm([found[name].p for name in names]), strict=True))
    worse = [name for name in names if found[name].difference < 0 and adjusted[name] < ALPHA]
    said = [f"{name} {found[name].difference:+.4f} (p = {adjusted[name]:.2g})" for name in worse or names]
    if worse:
        checks.append(Check("guarded", False, f"significantly worse: {', '.join(said)}"))
    else:
        checks.append(Check("guarded", True, ", ".join(said) or "no other benchmark"))
    return checks


def load_elsewhere(settings: RegistrySettings, model_uri: str, model_dir: Path, uri: str) -> list[Check]:
    """Load the logged model in a fresh process: same vectors, and within the limits of size and speed.

    Args:
        model_uri: of the logged model, for :func:`mlflow.sentence_transformers.load_model`.
        model_dir: what was logged.
        uri: of the tracking store.

    Returns:
        Checks named ``loads``, ``size`` and ``speed``; the latter two where a limit is set.
    """
    from sentence_transformers import SentenceTransformer

    many = [f"{text} {number}" for number in range(_SPEED_TEXTS // len(_TEXTS)) for text in _TEXTS]
    done = subprocess.run(
        [sys.executable, "-c", _PROBE, model_uri, json.dumps([_TEXTS, many])],
        env={**os.environ, "MLFLOW_TRACKING_URI": uri},
        capture_output=True,
        text=True,
        check=False,
    )
    result = next((line for line in done.stdout.splitlines() if line.startswith("RESULT ")), None)
    if result is None:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        return [Check("loads", False, f"a fresh process cannot load it: {last}")]
    found = json.loads(result.removeprefix("RESULT "))
    here = SentenceTransformer(str(model_dir), device="cpu", local_files_only=True)
    wanted = [here.encode_query(_TEXTS), here.encode_document(_TEXTS)]
    apart = float(np.abs(np.array(found["vectors"]) - np.stack(wanted)).max())
    checks = [Check("loads", apart <= _TOLERANCE, f"vectors of a fresh process differ by {apart:.1g}")]
    if settings.max_megabytes is not None:
        size = _megabytes(model_dir)
        limit = settings.max_megabytes
        checks.append(Check("size", size <= limit, f"{size:.0f} MB, at most {limit:g}"))
    if settings.min_texts_per_second is not None:
        speed, limit = found["texts_per_second"], settings.min_texts_per_second
        checks.append(Check("speed", speed >= limit, f"{speed:.0f} texts a second, at least {limit:g}"))
    return checks


def verdict(checks: Sequence[Check]) -> tuple[bool, str]:
    """Whether all have passed, and the reason in a sentence."""
    failed = [check for check in checks if not check.passed]
    if failed:
        return False, "; ".join(f"{check.name}: {check.said}" for check in failed)
    return True, "; ".join(f"{check.name}: {check.said}" for check in checks)


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6

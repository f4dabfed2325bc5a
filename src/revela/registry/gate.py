"""May the challenger become champion? Each check says yes or no, and why."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Collection, Sequence
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
# A fresh process imports, loads and embeds for seconds; one that hangs must not hold the registry for ever.
_LOAD_TIMEOUT_S = 900.0
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
        passed: None where it was not tried, because another check had decided.
        said: the figures, in words.
    """

    name: str
    passed: bool | None
    said: str

    def __str__(self) -> str:
        return f"{ {True: 'passed', False: 'failed', None: 'not tried'}[self.passed] }: {self.said}"


def compare_scores(
    settings: RegistrySettings,
    challenger: pd.DataFrame,
    champion: pd.DataFrame,
    comparable: Collection[str],
) -> list[Check]:
    """Significantly better on the primary benchmark, not significantly worse on any guarded one.

    A benchmark that `registry.guarded` names must compare. Where it names none, all that compare are guarded,
    and the others are named in the verdict: a benchmark that is new cannot have a champion's score.

    Args:
        challenger, champion: per-query tables of the stage evaluate (benchmark, model, query_id, metrics).
        comparable: benchmarks on which both were scored on the same data.

    Returns:
        A check named ``primary`` and one named ``guarded``, paired randomisation tests at level 0.05; Holm's
        correction over the guarded benchmarks.
    """
    metric, first = settings.primary_metric, settings.primary_benchmark
    if first not in comparable:
        said = f"the champion was scored on other data of {first}, so the scores do not compare"
        return [Check("primary", False, said), Check("guarded", None, "the primary benchmark has decided")]
    mine, theirs = (table[table["model"] == SUBJECT] for table in (challenger, champion))

    def compared(benchmark: str) -> Comparison:
        pair = (table[table["benchmark"] == benchmark] for table in (mine, theirs))
        return compare(*pair, metric=metric, resamples=_RESAMPLES, seed=0)

    primary = compared(first)
    said = f"{metric} on {first} {primary.mean_a:.4f} against {primary.mean_b:.4f} (p = {primary.p:.2g})"
    checks = [Check("primary", primary.difference > 0 and primary.p < ALPHA, said)]

    everywhere = dict.fromkeys([*mine["benchmark"], *theirs["benchmark"]])
    guarded = [
        name for name in (everywhere if settings.guarded is None else settings.guarded) if name != first
    ]
    names = [name for name in guarded if name in comparable]
    unknown = [name for name in guarded if name not in comparable]
    found = {name: compared(name) for name in names}
    adjusted = dict(zip(names, holm([found[name].p for name in names]), strict=True))
    worse = [name for name in names if found[name].difference < 0 and adjusted[name] < ALPHA]
    parts = [f"{name} {found[name].difference:+.4f} (p = {adjusted[name]:.2g})" for name in worse or names]
    if worse:
        return [*checks, Check("guarded", False, f"significantly worse: {', '.join(parts)}")]
    if unknown:
        parts.append(f"not scored on the same data by both: {', '.join(unknown)}")
    passed = not unknown or settings.guarded is None
    return [*checks, Check("guarded", passed, ", ".join(parts) or "no other benchmark")]


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
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE, model_uri, json.dumps([_TEXTS, many])],
            env={**os.environ, "MLFLOW_TRACKING_URI": uri},
            capture_output=True,
            text=True,
            check=False,
            timeout=_LOAD_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        said = (
            f"a fresh process had not loaded it and embedded {_SPEED_TEXTS} texts in {_LOAD_TIMEOUT_S:.0f} s"
        )
        return [Check("loads", False, said)]
    result = next((line for line in done.stdout.splitlines() if line.startswith("RESULT ")), None)
    if result is None:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        return [Check("loads", False, f"a fresh process cannot load it: {last}")]
    found = json.loads(result.removeprefix("RESULT "))
    here = SentenceTransformer(str(model_dir), device="cpu", local_files_only=True)
    wanted = np.stack([here.encode_query(_TEXTS), here.encode_document(_TEXTS)])
    vectors = np.array(found["vectors"])
    if vectors.shape != wanted.shape:
        said = f"vectors of a fresh process have {vectors.shape[-1]} dimensions instead of {wanted.shape[-1]}"
        return [Check("loads", False, said)]
    apart = float(np.abs(vectors - wanted).max())
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
    failed = [check for check in checks if check.passed is False]
    if failed:
        return False, "; ".join(f"{check.name}: {check.said}" for check in failed)
    return True, "; ".join(f"{check.name}: {check.said}" for check in checks)


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6

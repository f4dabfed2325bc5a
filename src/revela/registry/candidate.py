"""What asks to be champion, and the tags of a version that tell of it. Imports nothing that takes seconds."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from revela.errors import RevelaError
from revela.files import sha256_tree
from revela.registry.registered_run import RETRIEVER, numbers
from revela.settings import RegistrySettings

DATA_SETS = "data_sets"
GATE = "gate."
"""What the tags of the gate's checks begin with."""
PASSED, AGAINST = f"{GATE}passed", f"{GATE}against"
NOBODY = "nobody"
HELD_BACK = "held_back"
"""Tag of a version that passed the gate and was not to be promoted then."""

Scores = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Candidate:
    """A trained retriever with what tells it from another: its bytes, its scores, what they were taken on."""

    model_dir: Path
    sha256: str
    scores: Scores
    benchmarks: Mapping[str, str]
    """Digest of each benchmark's settings: cheap, and enough to know the same candidate again."""

    def tags(self) -> dict[str, str]:
        """The candidate as tags of its model version, from which the next registration knows it again."""
        return {
            "model.sha256": self.sha256,
            "scores": json.dumps(self.scores, sort_keys=True),
            "benchmarks": json.dumps(self.benchmarks, sort_keys=True),
        }


def candidate(
    settings: RegistrySettings, model_dir: Path, evaluation: Mapping[str, Any], params: Mapping[str, Any]
) -> Candidate:
    """What stands to be registered.

    Raises:
        RevelaError: there is no model, or it has no finite primary score.
    """
    if not (model_dir / "modules.json").is_file():
        raise RevelaError(
            f"{model_dir}: not a saved SentenceTransformer (no modules.json). Run `dvc repro train`."
        )
    scores = {
        benchmark: dict(numbers(models[RETRIEVER]))
        for benchmark, models in evaluation.items()
        if isinstance(models, Mapping) and RETRIEVER in models
    }
    wanted = (settings.primary_benchmark, settings.primary_metric)
    value = scores.get(wanted[0], {}).get(wanted[1])
    if value is None or not math.isfinite(value):
        found = ", ".join(f"{name}: {' '.join(metrics)}" for name, metrics in scores.items()) or "none"
        raise RevelaError(
            f"evaluate/metrics.json has no finite {wanted[1]} of '{RETRIEVER}' on '{wanted[0]}' "
            f"(found {found}). Correct registry.primary_benchmark or registry.primary_metric in "
            "params.yaml, or run `dvc repro evaluate`."
        )
    listed = params.get("evaluate", {}).get("benchmarks", [])
    by_name = {entry.get("name", entry.get("kind")): _digest(entry) for entry in listed}
    benchmarks = {name: by_name.get(name, _digest(name)) for name in scores}
    return Candidate(model_dir, sha256_tree(model_dir), scores, benchmarks)


def _digest(settings: Any) -> str:
    return hashlib.md5(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()


def checks_of(tags: Mapping[str, str]) -> dict[str, str]:
    """The gate's checks in a version's tags: name -> verdict."""
    return {
        key.removeprefix(GATE): said
        for key, said in sorted(tags.items())
        if key.startswith(GATE) and key not in (PASSED, AGAINST)
    }

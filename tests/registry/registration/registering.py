"""Registration as the tests ask for it."""

from __future__ import annotations

from pathlib import Path

from registrable import write_results

from revela.registry.register import Registered, register
from revela.settings import RegistrySettings

SETTINGS = RegistrySettings()
DATA_SETS = {"docstrings": "d0", "classes": "c0"}
PARAMS = {"seed": 0, "evaluate": {"benchmarks": [{"kind": "docstrings", "limit": None}]}}
TWO = {"evaluate": {"benchmarks": [{"kind": "docstrings"}, {"kind": "classes"}]}}
"""With a second benchmark, which is guarded."""


def register_here(
    project: Path, model_dir: Path, score: float, guarded: dict[str, float] | None = None, **arguments
) -> Registered:
    results = write_results(project, score, guarded)
    settings = arguments.pop("settings", SETTINGS)
    keywords = {"params": PARAMS, "data_sets": lambda: DATA_SETS} | arguments
    return register(settings, model_dir=model_dir, results_dir=results, **keywords)

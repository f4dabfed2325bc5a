"""Retrain when there is something new to read, and say so when there is not."""

from __future__ import annotations

import json

from prefect import flow, get_run_logger
from prefect.states import Completed, State

from flows._sources import fingerprints
from flows.pipeline import pipeline
from revela import paths
from revela.files import atomic_write_text
from revela.settings import load_settings

SEEN = paths.CACHE / "watch_corpus.json"


@flow(name="watch_corpus")
def watch_corpus(promote: bool = True) -> State:
    """Run `pipeline` if a source of the corpus differs from the one that it last ran on.

    Args:
        promote: as for `pipeline`.
    """
    found = fingerprints(load_settings(paths.PARAMS).corpus)
    seen = json.loads(SEEN.read_text(encoding="utf-8")) if SEEN.is_file() else {}
    changed = [name for name in found if seen.get(name) != found[name]]
    if not changed and found.keys() == seen.keys():
        return Completed(message=f"nothing new in {len(found)} sources")
    get_run_logger().info("new: %s", ", ".join(changed) or "a source is gone")
    said = pipeline(promote=promote, new_data=True)
    # Only now: a run that failed is tried again the next night.
    SEEN.parent.mkdir(parents=True, exist_ok=True)
    atomic_write_text(SEEN, json.dumps(found, indent=2) + "\n")
    return Completed(message=said)

"""Promotion and its reverse, for whoever has Prefect's UI and no shell."""

from __future__ import annotations

from prefect import flow
from prefect.artifacts import create_markdown_artifact

from flows._artifacts import decision
from flows.pipeline import register
from revela import paths
from revela.registry import aliases
from revela.settings import load_settings


@flow(name="promote")
def promote(version: str | None = None, reason: str = "by hand, from Prefect") -> str:
    """The gate by itself, or a version made champion by hand.

    Args:
        version: to become champion whatever its scores; none: the retriever in models/ with its scores, as
            they are, goes through the gate, and no stage runs.
        reason: kept with the version; the gate has its own.
    """
    if version is None:
        registered = register(promote=True)
        create_markdown_artifact(key="decision", markdown=decision(registered))
        return f"{registered['name']} version {registered['version']}: {registered['verdict']}"
    return aliases.promote(load_settings(paths.PARAMS).registry, version, reason)


@flow(name="rollback")
def rollback() -> str:
    """Make the previous champion champion again."""
    return aliases.rollback(load_settings(paths.PARAMS).registry)

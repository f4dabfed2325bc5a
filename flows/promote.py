"""Promotion and its reverse, for whoever has Prefect's UI and no shell."""

from __future__ import annotations

from prefect import flow

from revela import champion, paths
from revela.settings import load_settings


@flow(name="promote")
def promote(version: str, reason: str = "by hand, from Prefect") -> str:
    """Make a registered version champion; the one until now becomes @previous."""
    return champion.promote(load_settings(paths.PARAMS).registry, version, reason)


@flow(name="rollback")
def rollback() -> str:
    """Make the previous champion champion again."""
    return champion.rollback(load_settings(paths.PARAMS).registry)

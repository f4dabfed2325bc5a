"""A small project with flows, and a Prefect server of its own on loopback."""

from __future__ import annotations

import shutil
from pathlib import Path

import click
import pytest

from bench.flow_project import FlowProject, small_params


@pytest.fixture(scope="session")
def texts(tmp_path_factory) -> Path:
    """The corpus of the project: a folder that a test may add to."""
    folder = tmp_path_factory.mktemp("texts")
    for source in Path(click.__file__).parent.glob("*.py"):
        shutil.copy(source, folder)
    return folder


@pytest.fixture(scope="session")
def served(tmp_path_factory, causal_lm_folder, texts):
    """The project with a running Prefect server, a work pool and a worker."""
    params = small_params(causal_lm_folder, texts)
    params["ablations"] = [
        {"name": "broken", "overrides": {"backbone.retriever.name": str(texts)}},
        {"name": "hotter", "overrides": {"objective.contrastive_temperature": 0.5}},
    ]
    project = FlowProject(tmp_path_factory.mktemp("flows"), params)
    with project.served():
        yield project

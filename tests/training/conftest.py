"""A training small enough to run in seconds: tiny models, real groups, three phases."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from stores import store_below

from revela.settings import Settings

PHASES = [
    {"name": "contrastive", "train": ["retriever"], "terms": {"contrastive": 1.0}, "steps": 3,
     "learning_rate": {"retriever": 1e-2}, "warmup_steps": 1},
    {"name": "adapt", "train": ["lm"], "terms": {"revela": 1.0}, "steps": 3, "learning_rate": {"lm": 1e-2}},
    {"name": "revela", "train": ["retriever", "lm"], "terms": {"revela": 1.0, "contrastive": 0.5}, "steps": 4,
     "learning_rate": {"retriever": 1e-2, "lm": 1e-2}, "decay": "cosine"},
]  # fmt: skip


@pytest.fixture(scope="session", autouse=True)
def tracking_store(tmp_path_factory):
    """One MLflow store for all: creating its tables takes longer than training the tiny models."""
    with store_below(tmp_path_factory.mktemp("mlflow")) as uri:
        yield uri


@pytest.fixture(scope="session")
def make_settings():
    """Settings with changes to the section `training` or others."""

    def make(training: dict | None = None, **sections) -> Settings:
        folder = {"kind": "folder", "name": "unused"}
        return Settings.model_validate(
            {
                "backbone": {"retriever": folder, "lm": folder},
                "corpus": {"sources": [{"kind": "folder", "path": "unused"}]},
                "batches": {"group_size": 4},
                "objective": {"attention": "joint", "temperature": 0.1, "top_k": 2},
                "training": {
                    "phases": PHASES,
                    "lora": {"rank": 4, "alpha": 8},
                    "precision": "fp32",
                    "save_every": 2,
                    **(training or {}),
                },
                "evaluate": {"benchmarks": [{"kind": "docstrings"}]},
                **sections,
            }
        )

    return make


@pytest.fixture(scope="session")
def new_places(backbone_folder, groups_folder):
    """Where `train` reads, and writes below a given folder."""

    def make(folder: Path) -> dict[str, Path]:
        return {
            "backbone_dir": backbone_folder,
            "groups_dir": groups_folder,
            "models_dir": folder / "models",
            "report_dir": folder / "report",
            "checkpoints_dir": folder / "checkpoints",
        }

    return make


@pytest.fixture(scope="module")
def one_thread():
    """Another number of threads sums in another order, and Adam makes whole steps of gradients that are
    nothing but rounding."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def places(new_places, tmp_path) -> dict[str, Path]:
    return new_places(tmp_path)

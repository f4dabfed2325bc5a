"""One small project in a real git and DVC repository, for all tests of this folder, in their order."""

from __future__ import annotations

import pytest
from small_project import Project


@pytest.fixture(scope="session")
def project(repro_project: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy after `dvc repro`, which these tests register, change and go on with."""
    return repro_project.copy(tmp_path_factory.mktemp("e2e") / "project")

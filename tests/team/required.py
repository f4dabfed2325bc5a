"""What the tests of this folder need beside Python packages."""

from __future__ import annotations

import os

import pytest

REQUIRED = "REVELA_REQUIRE_TEAM"


def missing(what: str) -> None:
    """Skip, or fail where the programs have to be there."""
    reason = f"{what} is not installed; `.ci/team_packages` installs it"
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(f"{reason}, and {REQUIRED}=1 says that it has to be")
    pytest.skip(reason)

"""Overrides of params.yaml for one run."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from flows._params import BACKUP_SUFFIX, overridden
from revela.errors import RevelaError

PARAMS = Path(__file__).parents[2] / "params.yaml"


@pytest.fixture
def params(tmp_path) -> Path:
    path = tmp_path / "params.yaml"
    path.write_text(PARAMS.read_text(encoding="utf-8"), encoding="utf-8")
    return path


def test_values_stand_in_the_file_for_the_run_and_no_longer(params):
    before = params.read_bytes()
    with overridden(params, {"training.phases.0.steps": 7, "seed": 3}):
        inside = yaml.safe_load(params.read_text())
        assert (inside["training"]["phases"][0]["steps"], inside["seed"]) == (7, 3)
    assert params.read_bytes() == before
    assert [path.name for path in params.parent.iterdir()] == ["params.yaml"]


def test_the_file_comes_back_when_the_run_fails(params):
    before = params.read_bytes()
    with pytest.raises(KeyboardInterrupt), overridden(params, {"seed": 3}):
        raise KeyboardInterrupt
    assert params.read_bytes() == before


def test_what_a_killed_run_left_is_put_back_first(params):
    before = params.read_text()
    params.with_name(params.name + BACKUP_SUFFIX).write_text(before)
    params.write_text(before.replace("seed: 0", "seed: 9"))
    with overridden(params, {}):
        assert params.read_text() == before


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"training.phasess.0.steps": 7}, "there is no `phasess`"),
        ({"training.phases.7.steps": 7}, "there is no `7`"),
        ({"training.phases.0.steps": -1}, "training.phases.0.steps"),
        ({"seed.x": 1}, "what stands before `x` has no keys"),
    ],
)
def test_a_faulty_override_changes_nothing(params, override, message):
    before = params.read_bytes()
    with pytest.raises(RevelaError, match=message), overridden(params, override):
        pytest.fail("must not run")
    assert params.read_bytes() == before
    assert [path.name for path in params.parent.iterdir()] == ["params.yaml"]

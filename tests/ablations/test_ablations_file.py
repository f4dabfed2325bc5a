"""ablations.yaml beside the settings: read with them, and its faults told by its own name."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from revela.ablations.plan import plan
from revela.errors import RevelaError
from revela.settings import Settings, load_settings

PARAMS = yaml.safe_load((Path(__file__).parents[2] / "params.yaml").read_text(encoding="utf-8"))
COLDER = {"name": "colder", "overrides": {"objective.temperature": 0.005}}
HOTTER = {"name": "hotter", "overrides": {"objective.temperature": 0.5}}
UNFIT = {"name": "unfit", "overrides": {"training.phases.7.steps": 3}}

Load = Callable[..., Settings]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Settings with these ablations of their own, and beside them this content of ablations.yaml."""

    def load(beside: object, own: list[dict] | None = None, name: str = "params.yaml") -> Settings:
        params = copy.deepcopy(PARAMS) | ({} if own is None else {"ablations": own})
        (tmp_path / name).write_text(yaml.safe_dump(params), encoding="utf-8")
        text = beside if isinstance(beside, str) else yaml.safe_dump(beside)
        (tmp_path / "ablations.yaml").write_text(text, encoding="utf-8")
        return load_settings(tmp_path / name)

    return load


@pytest.mark.parametrize("name", ["params.yaml", "other.yaml"])
def test_the_ablations_of_both_files_are_known_and_may_be_compared(load, name):
    settings = load({"ablations": [{**HOTTER, "against": "colder"}]}, [{**COLDER, "against": "hotter"}], name)
    assert [one.name for one in settings.ablations] == ["colder", "hotter"]
    assert [Path(one.file).name for one in settings.ablations] == [name, "ablations.yaml"]
    assert [run.name for run in plan(settings)] == ["colder", "hotter"]


@pytest.mark.parametrize(
    ("beside", "messages"),
    [
        ("ablations: [", ["not valid YAML"]),
        ("- 1", ["expected a mapping of sections, found list"]),
        ("", ["expected a mapping of sections, found NoneType"]),
        ({"ablation": [COLDER]}, ["ablation: unknown key", "ablations: required, but missing"]),
        ({"ablations": [COLDER], "seed": 1}, ["seed: unknown key (found 1)"]),
        (
            {"ablations": [COLDER, {"name": "b", "overides": {"seed": 1}, "seeds": []}]},
            ["ablations.1.overides: unknown key", "ablations.1.overrides: required, but missing",
             "ablations.1.seeds: List should have at least 1 item"],
        ),
        ({"ablations": [COLDER, COLDER]}, ["`ablations` must have different names, found colder, colder"]),
        (
            {"ablations": [{**COLDER, "against": "hoter"}, HOTTER]},
            ["ablations: colder: `against` is 'hoter', which is no other ablation; there are colder, "],
        ),
    ],
)  # fmt: skip
def test_a_fault_of_the_file_names_it_and_the_key(load, beside, messages):
    with pytest.raises(RevelaError, match=r"^\S*/ablations\.yaml: ") as caught:
        load(beside)
    for message in messages:
        assert message in str(caught.value)
    assert "params.yaml" not in str(caught.value)


def test_a_name_must_not_stand_in_both_files(load):
    wanted = r"/ablations\.yaml: ablations: colder: \S*/params\.yaml has one of this name"
    with pytest.raises(RevelaError, match=wanted):
        load({"ablations": [COLDER]}, [COLDER])


def test_a_fault_of_the_settings_names_them_although_there_is_a_file_beside_them(load):
    with pytest.raises(RevelaError, match=r"/params\.yaml: ablations: colder: `against` is 'hoter'"):
        load({"ablations": [HOTTER]}, [{**COLDER, "against": "hoter"}])


def test_what_does_not_fit_changed_settings_is_left_out_with_a_warning_and_the_rest_planned(load, caplog):
    settings = load({"ablations": [UNFIT, HOTTER]}, [COLDER])
    assert [run.name for run in plan(settings)] == ["colder", "hotter"]
    (said,) = caplog.messages
    assert re.search(r"ablations\.yaml: ablations: unfit: `training\.phases\.7\.steps`: there is", said)


def test_what_does_not_fit_is_an_error_by_name_and_where_there_is_nothing_else(load):
    settings = load({"ablations": [UNFIT, HOTTER]})
    with pytest.raises(RevelaError, match=r"/ablations\.yaml: ablations: unfit: "):
        plan(settings, ["unfit", "hotter"])
    with pytest.raises(RevelaError, match=r"/ablations\.yaml: ablations: unfit: "):
        plan(load({"ablations": [UNFIT]}))


def test_what_does_not_fit_in_the_settings_own_list_is_an_error(load):
    settings = load({"ablations": [HOTTER]}, [UNFIT])
    with pytest.raises(RevelaError, match=r"/params\.yaml: ablations: unfit: `training\.phases\.7\.steps`"):
        plan(settings)

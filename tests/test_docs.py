"""Every settings example in the README and the docs is accepted by the settings themselves."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from revela.settings import load_settings

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


def yaml_blocks(page: Path) -> list[str]:
    return re.findall(r"^```yaml\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def merged(whole: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """`whole` with the values of `part`; lists are replaced."""
    mixed = dict(whole)
    for key, value in part.items():
        nested = isinstance(value, dict) and isinstance(mixed.get(key), dict)
        mixed[key] = merged(mixed[key], value) if nested else value
    return mixed


EXAMPLES = [
    pytest.param(block, id=f"{page.name}-{number}")
    for page in PAGES
    for number, block in enumerate(yaml_blocks(page))
]


@pytest.mark.parametrize("block", EXAMPLES)
def test_a_settings_example_is_valid(block: str, tmp_path: Path) -> None:
    example = yaml.safe_load(block)
    if isinstance(example, list):
        example = {"corpus": {"sources": example}}  # entries of the list that the page introduces
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(merged(params, example)), encoding="utf-8")
    load_settings(path)


def test_the_pages_have_examples_and_their_links_lead_somewhere() -> None:
    assert len(EXAMPLES) >= 10
    for page in [*PAGES, ROOT / "bench" / "README.md"]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"

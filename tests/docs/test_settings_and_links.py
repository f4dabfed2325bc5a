"""Every settings example is accepted by the settings themselves, and every link leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from page_reader import merged
from pages import PAGES, ROOT, blocks, title

from revela.settings import load_settings

EXAMPLES = [
    pytest.param(block.text, id=f"{title(page)}:{block.line}")
    for page in PAGES
    for block in blocks(page)
    if block.language == "yaml"
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


def anchors(page: Path) -> set[str]:
    """What GitHub makes of a page's headings: lower case, without punctuation, blanks as hyphens."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_the_pages_have_examples_and_their_links_lead_somewhere() -> None:
    assert len(EXAMPLES) >= 10
    others = [ROOT / name for name in ("CONTRIBUTING.md", "CHANGELOG.md", "bench/README.md")]
    for page in [*PAGES, *others, *(ROOT / "docs" / "recipes").glob("*.md")]:
        links = re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)", page.read_text(encoding="utf-8"))
        for target, anchor in links:
            file = page.parent / target if target else page
            assert file.exists(), f"{title(page)}: {target}"
            assert not anchor or anchor in anchors(file), f"{title(page)}: {target}#{anchor}"

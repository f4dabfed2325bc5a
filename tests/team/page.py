"""The commands of docs/team_server.md, as a reader would type them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "team_server.md"


def commands() -> list[str]:
    """Every command of every console block, in order; continued lines are one command."""
    text = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    joined = "".join(blocks).replace("\\\n", " ")
    return [line.removeprefix("$ ") for line in joined.splitlines() if line.startswith("$ ")]


class Reader:
    """Takes the page's commands one after the other; what a test did not expect next is a failure."""

    def __init__(self) -> None:
        self._left = commands()

    def next(self, start: str) -> str:
        command = self._left.pop(0)
        assert command.startswith(start), f"the page goes on with {command!r}, not with {start!r}"
        return command

    def rest(self) -> list[str]:
        return self._left

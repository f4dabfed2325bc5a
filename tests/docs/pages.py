"""What the pages tell a reader to type: the commands and Python examples of README.md and docs/, in order."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])

# Indented as well: an example may belong to an item of a list.
_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_SHELLS = ("bash", "console", "sh", "shell")
# The least that tells a remark from a `#` inside an argument.
_REMARK = re.compile(r"\s+#\s.*$")
_HERE = re.compile(r"<<'(\w+)'")


@dataclass(frozen=True)
class Block:
    """A fenced block: `line` is where its content begins in the page."""

    language: str
    line: int
    text: str


@dataclass(frozen=True)
class Command:
    """Something to type, without the remark behind it.

    `name` is what tables call it: a shell command's own text, ``python 1`` for the first Python example of a
    page, ``yaml 1`` for its first settings.
    """

    page: str
    line: int
    language: str
    name: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {self.name}"


def title(page: Path) -> str:
    """README.md, docs/corpus.md, ..."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(found[2], text.count("\n", 0, found.start(3)) + 1, textwrap.dedent(found[3]))
        for found in _BLOCK.finditer(text)
    ]


def commands(page: Path, settings: bool = False) -> list[Command]:
    """Shell commands and Python examples in the order of the page; with `settings` also its YAML examples.

    A shell command that ends in a backslash goes on in the next line, one with ``<<'WORD'`` until that word.
    """
    found: list[Command] = []
    numbers = {"python": 0, "yaml": 0}
    for block in blocks(page):
        if block.language in _SHELLS:
            found += [
                Command(title(page), block.line + offset, "shell", _called(text), text)
                for offset, text in _typed(block)
            ]
        elif block.language == "python" or (settings and block.language == "yaml"):
            numbers[block.language] += 1
            name = f"{block.language} {numbers[block.language]}"
            found.append(Command(title(page), block.line, block.language, name, block.text))
    return found


def inline(page: Path) -> list[str]:
    """What stands between single backticks in the running text."""
    return re.findall(r"(?<!`)`([^`\n]+)`(?!`)", _BLOCK.sub("", page.read_text(encoding="utf-8")))


def _called(text: str) -> str:
    """A shell command as one line, without its remark and without what it feeds to the program."""
    return _REMARK.sub("", re.sub(r"\s*\\\n\s*", " ", text).splitlines()[0]).strip()


def _typed(block: Block) -> Iterator[tuple[int, str]]:
    """(line within the block, command): after ``$`` in a console, whatever is no remark elsewhere."""
    console = block.language == "console"
    begun, pending = 0, ""
    for number, line in enumerate(block.text.splitlines()):
        if not pending:
            begun = number
            if (console and not line.startswith("$ ")) or line.lstrip().startswith("#"):
                continue
            line = line.removeprefix("$ ") if console else line
        elif console:
            line = line.removeprefix("> ")
        pending += line
        word = _HERE.search(pending)
        if pending.endswith("\\") or (word and line != word[1]):
            pending += "\n"
            continue
        if pending.strip():
            yield begun, pending
        pending = ""

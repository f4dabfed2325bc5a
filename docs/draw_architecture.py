"""Draw the rooms of the package into docs/architecture.md, from the imports of src/revela and flows.

    python docs/draw_architecture.py

writes the part of the page between the markers: a picture and a table. tests/test_architecture.py compares
the page with what this would write, and holds the imports to the order of :data:`ROOMS`.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from importlib.util import resolve_name
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PAGE = Path("docs/architecture.md")
BEGIN, END = "<!-- rooms:begin -->", "<!-- rooms:end -->"

# Modules that stand alone at the top of the package, and its settings: any room may need them.
FOUNDATION = ("errors", "files", "paths", "progress", "processes", "words", "settings")
# From left to right: each imports only what stands to its left.
ROOMS = (
    *FOUNDATION, "corpus", "chunks", "pairs", "groups", "tracking", "modeling", "objectives", "training",
    "evaluation", "questions", "registry", "reporting", "ablations", "integrations", "cli", "flows",
)  # fmt: skip

_SHARED = "foundation"
# Narrow boxes close together: GitHub shrinks a picture until it is as narrow as the page.
_HEAD = [
    "```mermaid",
    '%%{init: {"flowchart": {"wrappingWidth": 150, "nodeSpacing": 20, "rankSpacing": 25, "padding": 8}}}%%',
    "flowchart LR",
]


class Import(NamedTuple):
    """One imported module.

    Attributes:
        file: of the importing module, below the root.
        importer: its dotted name.
        target: dotted name; of this repository's modules the module's, of others as it stands.
        lazy: inside a function, or for type checkers alone: not there when the module is imported.
    """

    file: Path
    line: int
    importer: str
    target: str
    lazy: bool

    def __str__(self) -> str:
        return f"{self.file.as_posix()}:{self.line}: {self.importer} imports {self.target}"


def modules(root: Path, folders: tuple[str, ...] = ("src/revela", "flows")) -> dict[str, Path]:
    """Dotted name -> file, of everything below these folders."""
    found = {}
    for folder in folders:
        for path in sorted((root / folder).rglob("*.py")):
            parts = path.relative_to((root / folder).parent).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(root: Path, known: dict[str, Path]) -> Iterator[Import]:
    """Every import of these modules, those inside functions included, in the order of the lines."""
    for importer, path in known.items():
        package = importer if path.name == "__init__.py" else importer.rpartition(".")[0]
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node, lazy in _statements(tree, False):
            for name in _names(node, package):
                file = path.relative_to(root)
                yield Import(file, node.lineno, importer, _module_of(name, known) or name, lazy)


def room_of(module: str) -> str | None:
    """The room of a module of this repository; None for others and for the bare package."""
    first, _, rest = module.partition(".")
    if first == "revela":
        # `python -m revela` is the command line under another name.
        return {"": None, "__main__": "cli"}.get(rest, rest.split(".")[0])
    return first if first == "flows" else None


def arrows(found: list[Import]) -> dict[str, set[str]]:
    """Room -> the other rooms that it imports anything of."""
    rooms: dict[str, set[str]] = {}
    for one in found:
        importer, target = room_of(one.importer), room_of(one.target)
        if importer is not None and target is not None and importer != target:
            rooms.setdefault(importer, set()).add(target)
    return rooms


def drawn(root: Path = ROOT) -> str:
    """What stands between the markers."""
    known = modules(root)
    rooms = {room: [name for name in known if room_of(name) == room] for room in ROOMS}
    rooms = {room: names for room, names in rooms.items() if names}
    if homeless := sorted({room for name in known if (room := room_of(name)) and room not in ROOMS}):
        raise SystemExit(f"docs/draw_architecture.py: ROOMS has no place for {', '.join(homeless)}; add it.")
    purposes = {room: _purpose(known, room) for room in rooms}
    shared = [room for room in rooms if room in FOUNDATION]
    boxes = {_SHARED: _box(", ".join(shared), "what any room may need")}
    boxes |= {room: _box(room, purposes[room]) for room in rooms if room not in FOUNDATION}
    picture = [*_HEAD, *(f'    {room}["{label}"]' for room, label in boxes.items())]
    pairs = _drawn_arrows(arrows(list(imports(root, known))))
    picture += [f"    {left} --> {right}" for left, right in pairs]
    lines = {room: sum(_lines(known[name]) for name in names) for room, names in rooms.items()}
    table = ["| room | what it is for | files | lines |", "|---|---|---:|---:|"]
    table += [
        f"| `{room}` | {purposes[room]} | {len(names)} | {_about(lines[room])} |"
        for room, names in rooms.items()
    ]
    return "\n".join([*picture, "```", "", *table])


def written(root: Path = ROOT) -> str:
    """The page as it should be."""
    page = (root / PAGE).read_text(encoding="utf-8")
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n{drawn(root)}\n{END}{after}"


def _statements(node: ast.AST, lazy: bool) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield node, lazy
    inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    typing = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    for child in ast.iter_child_nodes(node):
        yield from _statements(child, lazy or inside or typing)


def _names(node: ast.Import | ast.ImportFrom, package: str) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    origin = "." * node.level + (node.module or "")
    origin = resolve_name(origin, package) if node.level else origin
    return [f"{origin}.{alias.name}" for alias in node.names]


def _module_of(name: str, known: dict[str, Path]) -> str:
    """The module that `name` is, or is a part of; an empty string where it is none of these."""
    while name and name not in known:
        name = name.rpartition(".")[0]
    return name


def _purpose(known: dict[str, Path], room: str) -> str:
    """First line of the room's docstring."""
    path = known["flows" if room == "flows" else f"revela.{room}"]
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "?"
    return docstring.splitlines()[0].replace("``", "`").replace("->", "→").replace("|", "\\|")


def _lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def _about(lines: int) -> str:
    """To two digits, so that the page is not out of date at every edit."""
    return f"{int(float(f'{lines:.2g}')):,}".replace(",", " ")


def _box(name: str, purpose: str) -> str:
    text = purpose.replace("`", "").replace('"', "'")
    return f"<b>{name}</b><br/>{text}"


def _drawn_arrows(needs: dict[str, set[str]]) -> list[tuple[str, str]]:
    """(room, room that imports it), without those that a way through other rooms implies."""
    boxes: dict[str, set[str]] = {}
    for room, others in needs.items():
        if room not in FOUNDATION:
            boxes[room] = {_SHARED if other in FOUNDATION else other for other in others}

    def reach(room: str) -> set[str]:
        return boxes.get(room, set()).union(*(reach(other) for other in boxes.get(room, ())))

    order = [_SHARED, *ROOMS]
    pairs = []
    for room, others in boxes.items():
        implied = set().union(*(reach(other) for other in others))
        pairs += [(other, room) for other in others - implied]
    return sorted(pairs, key=lambda pair: [order.index(room) for room in pair])


if __name__ == "__main__":
    page = written()
    changed = page != (ROOT / PAGE).read_text(encoding="utf-8")
    (ROOT / PAGE).write_text(page, encoding="utf-8")
    sys.stdout.write(f"{PAGE.as_posix()}: {'drawn anew' if changed else 'up to date'}\n")

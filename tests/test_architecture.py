"""The rooms of the code: arrows point one way, and docs/architecture.md says what is there."""

from __future__ import annotations

import graphlib
import importlib
import importlib.util
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
WALK = re.compile(r"^\d+\. `(revela[\w.]+)`: ", re.MULTILINE)
MOST_LINES = 300
SOURCE = """
import numpy
from revela.errors import RevelaError
if TYPE_CHECKING:
    from . import cutting
class Store:
    def read(self):
        from torch import nn
"""


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


drawing = _load(ROOT / "docs" / "draw_architecture.py")
KNOWN = drawing.modules(ROOT, ("src/revela", "flows", "bench"))
IMPORTS = list(drawing.imports(ROOT, KNOWN))
PLACE = {room: number for number, room in enumerate(drawing.ROOMS)}


def importers(names: Iterable[str], among: Iterable[str]) -> list[str]:
    """Imports of the packages `names` in the rooms `among`."""
    rooms, names = set(among), set(names)
    here = (one for one in IMPORTS if drawing.room_of(one.importer) in rooms)
    return [str(one) for one in here if one.target.split(".")[0] in names]


def test_imports_in_functions_and_for_type_checkers_are_seen(tmp_path):
    (tmp_path / "src" / "revela" / "chunks").mkdir(parents=True)
    (tmp_path / "src" / "revela" / "errors.py").touch()
    (tmp_path / "src" / "revela" / "chunks" / "__init__.py").touch()
    (tmp_path / "src" / "revela" / "chunks" / "store.py").write_text(SOURCE)
    found = list(drawing.imports(tmp_path, drawing.modules(tmp_path)))
    assert [(one.line, one.target, one.lazy) for one in found] == [
        (2, "numpy", False), (3, "revela.errors", False), (5, "revela.chunks", True), (8, "torch.nn", True)
    ]  # fmt: skip
    assert drawing.arrows(found) == {"chunks": {"errors"}}
    assert str(found[1]) == "src/revela/chunks/store.py:3: revela.chunks.store imports revela.errors"


def test_the_page_is_what_the_script_writes():
    page = (ROOT / drawing.PAGE).read_text(encoding="utf-8")
    assert page == drawing.written(), "run: python docs/draw_architecture.py"


def test_a_room_imports_only_what_stands_to_its_left():
    wrong = []
    for one in IMPORTS:
        room, other = drawing.room_of(one.importer), drawing.room_of(one.target)
        if room is not None and other is not None and PLACE[other] > PLACE[room]:
            wrong.append(f"{one}, which stands to its right")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("lazy_too", [False, True], ids=["modules", "rooms, functions included"])
def test_nothing_imports_itself_in_a_circle(lazy_too):
    name_of = drawing.room_of if lazy_too else str
    graph: dict[str, set[str]] = {}
    for one in IMPORTS:
        name, other = name_of(one.importer), name_of(one.target)
        if one.target in KNOWN and None not in (name, other) and name != other and (lazy_too or not one.lazy):
            graph.setdefault(name, set()).add(other)
    assert len(graph) > 10
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError with the circle


def test_data_can_be_prepared_without_torch():
    rooms = drawing.ROOMS[: PLACE["groups"] + 1]
    assert {"settings", "corpus", "chunks"} < set(rooms)
    heavy = ("torch", "transformers", "sentence_transformers", "peft", "accelerate")
    assert importers(heavy, rooms) == []


def test_src_knows_neither_prefect_nor_those_who_import_it():
    rooms = [room for room in drawing.ROOMS if room != "flows"]
    assert importers(["prefect", "flows", "bench", "tests"], rooms) == []
    assert importers(["prefect"], ["flows"]), "a reader of imports that finds nothing would always agree"


def test_mlflow_is_imported_in_three_rooms():
    elsewhere = [room for room in drawing.ROOMS if room not in ("tracking", "registry", "ablations")]
    assert importers(["mlflow"], elsewhere) == []


def test_nothing_is_loose_at_the_top_of_the_package():
    loose = {path.stem for path in (ROOT / "src" / "revela").glob("*.py")}
    assert loose == {"__init__", "__main__", *drawing.FOUNDATION} - {"settings"}


def test_no_python_file_is_longer_than_a_reader_can_hold():
    files = [
        path
        for folder in ("src", "flows", "bench", "tests", "docs")
        for path in (ROOT / folder).rglob("*.py")
    ]
    lengths = {path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines()) for path in files}
    too_long = [f"{name}: {lines} lines" for name, lines in sorted(lengths.items()) if lines > MOST_LINES]
    assert not too_long, "\n".join(too_long)


@cache
def walk() -> list[str]:
    return WALK.findall((ROOT / drawing.PAGE).read_text(encoding="utf-8"))


def test_the_walk_is_numbered_and_every_line_of_it_is_read():
    page = (ROOT / drawing.PAGE).read_text(encoding="utf-8")
    numbers = [int(number) for number in re.findall(r"^(\d+)\. ", page, re.MULTILINE)]
    assert numbers == list(range(1, len(walk()) + 1)) and len(numbers) > 50


def test_every_function_of_the_walk_exists():
    missing = [name for name in walk() if not callable(found(name))]
    assert not missing, missing


def found(name: str) -> object:
    """What a dotted name stands for; None where there is no such thing."""
    module = max((one for one in KNOWN if name.startswith(f"{one}.")), key=len)
    thing = importlib.import_module(module)
    for part in name.removeprefix(f"{module}.").split("."):
        thing = getattr(thing, part, None)
    return thing

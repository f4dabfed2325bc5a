"""What the benchmarks made of the CPython standard library share: its files, pairs, and cutting of sources.

The standard library is permissively licensed, needs no download, and is not among the installed
distributions that a corpus is usually built from. The pairs depend on the Python version alone, which the
descriptions record.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import platform
import sysconfig
import tokenize
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from revela.errors import RevelaError
from revela.evaluation.benchmarks.base import Benchmark
from revela.evaluation.benchmarks.pairs_cache import remembered
from revela.pairs import python_source
from revela.pairs.pair import squash
from revela.pairs.python_source import (
    DocumentedNode,
    first_sentence,
    parse_python,
    source_without_docstring,
)
from revela.settings import StandardLibraryBenchmark

# Test suites, demonstrations, and what pip put beside the standard library.
_NOT_LIBRARY = {"__pycache__", "dist-packages", "idle_test", "site-packages", "test", "tests", "turtledemo"}
# An application, and two packages that Python 3.12 and 3.13 removed and that live on as copies inside other
# distributions (setuptools, black): with them the pairs would overlap with common training corpora.
_COPIED_ELSEWHERE = {"distutils", "idlelib", "lib2to3"}
EXCLUDED_FOLDERS = frozenset(_NOT_LIBRARY | _COPIED_ELSEWHERE)


class Pair(NamedTuple):
    """One query with its one relevant document; the id serves for both."""

    id: str
    query: str
    document: str


PairsOfSource = Callable[[str, str], Iterator[Pair]]
"""(source, file name) to the pairs of one file, in the order of its lines."""


def build(settings: StandardLibraryBenchmark, pairs_of_source: PairsOfSource, what: str) -> Benchmark:
    """A benchmark from the running interpreter's standard library; `what` describes query -> document.

    Raises:
        RevelaError: the standard library's sources are not on this machine.
    """
    root = Path(sysconfig.get_paths()["stdlib"])
    pairs = subset(of_half(collect_pairs(root, pairs_of_source), settings.half), settings.limit)
    if not pairs:
        raise RevelaError(
            f"benchmark '{settings.name}': no Python sources to make pairs of below {root}; "
            "this interpreter was installed without the sources of its standard library."
        )
    of = "" if settings.half is None else f" of the {settings.half} half"
    return Benchmark(
        name=settings.name,
        corpus={pair.id: pair.document for pair in pairs},
        queries={pair.id: pair.query for pair in pairs},
        qrels={pair.id: {pair.id: 1} for pair in pairs},
        description=(
            f"{what}, {len(pairs)} pairs{of}, "
            f"standard library of {platform.python_implementation()} {platform.python_version()}"
        ),
        code=True,
    )


@functools.cache
def collect_pairs(root: Path, pairs_of_source: PairsOfSource) -> tuple[Pair, ...]:
    """Every usable pair below `root`, sorted by id, no query and no document twice.

    Reading the library takes seconds and several stages ask for it, so a project does it once.

    Where two pairs share a query or a document, the first by id stays and the other goes with both its
    query and its document: an unjudged copy would count as a wrong answer.

    Raises:
        RevelaError: a file cannot be read as Python.
    """
    files = _sources(root)
    made_by = [__name__, pairs_of_source.__module__, python_source.__name__, squash.__module__]
    rows = remembered(root, files, made_by, lambda: _made(root, files, pairs_of_source))
    return tuple(Pair(*row) for row in rows)


@functools.cache
def _sources(root: Path) -> tuple[Path, ...]:
    return tuple(
        path
        for path in sorted(root.rglob("*.py"))
        if EXCLUDED_FOLDERS.isdisjoint(path.relative_to(root).parts[:-1])
    )


def _made(root: Path, files: Sequence[Path], pairs_of_source: PairsOfSource) -> list[Pair]:
    found: dict[str, Pair] = {}
    for path in files:
        for pair in pairs_of_source(_read(path), path.relative_to(root).as_posix()):
            found.setdefault(pair.id, pair)  # an id twice: the definition that comes first
    kept: list[Pair] = []
    seen: set[str] = set()
    for pair in sorted(found.values()):
        keys = {"query " + squash(pair.query), "document " + squash(pair.document)}
        if seen.isdisjoint(keys):
            kept.append(pair)
            seen |= keys
    return kept


def of_half(pairs: Sequence[Pair], half: Literal["dev", "test"] | None) -> Sequence[Pair]:
    """The pairs of every other source file, by a hash of its name; None keeps all.

    A file is of one half with all its functions, so that no text of the other one has been looked at.
    """
    if half is None:
        return pairs
    return [pair for pair in pairs if _is_dev(pair.id.partition(":")[0]) == (half == "dev")]


def _is_dev(file: str) -> bool:
    return hashlib.sha256(file.encode()).digest()[-1] % 2 == 0


def subset(pairs: Sequence[Pair], limit: int | None) -> Sequence[Pair]:
    """At most `limit` pairs, chosen by a hash of their ids, sorted by id.

    The choice depends on no seed, and a smaller limit's pairs are among a larger one's.
    """
    if limit is None or limit >= len(pairs):
        return pairs
    by_hash = sorted(pairs, key=lambda pair: hashlib.sha256(pair.id.encode()).digest())
    return sorted(by_hash[:limit])


def parse(source: str, file: str) -> tuple[ast.Module, list[str]]:
    """The syntax tree and the lines that its positions count.

    Raises:
        RevelaError: the source does not parse.
    """
    try:
        return parse_python(source)
    except (SyntaxError, ValueError) as fault:
        raise RevelaError(f"benchmark of the standard library: {file} does not parse: {fault}") from None


def docstring_pairs(
    found: Iterable[tuple[str, DocumentedNode]], file: str, lines: list[str], min_lines: int, max_lines: int
) -> Iterator[Pair]:
    """First sentence of the docstring -> the source without it, of the definitions that make a pair.

    Args:
        found: dotted names and nodes.
        lines: of the file, as :func:`parse` gives them.
        min_lines, max_lines: of a document.
    """
    for name, node in found:
        query = first_sentence(ast.get_docstring(node, clean=True) or "")
        document = source_without_docstring(node, lines)
        if query is None or document is None:
            continue
        if not min_lines <= document.count("\n") + 1 <= max_lines:
            continue
        if squash(query) in squash(document):
            continue  # repeated in a comment or an error message: the answer would be given away
        yield Pair(f"{file}:{name}", query, document)


def _read(path: Path) -> str:
    try:
        with tokenize.open(path) as file:  # honours a coding line
            return file.read()
    except (OSError, SyntaxError, UnicodeDecodeError) as fault:
        raise RevelaError(f"benchmark of the standard library: {path}: cannot be read: {fault}") from None

"""What the benchmarks made of the CPython standard library share: its files, pairs, and cutting of sources.

The standard library is permissively licensed, needs no download, and is not among the installed
distributions that a corpus is usually built from. The pairs depend on the Python version alone, which the
descriptions record.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import platform
import re
import sysconfig
import tokenize
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from revela.errors import RevelaError
from revela.evaluation.benchmarks.base import Benchmark
from revela.evaluation.benchmarks.pairs_cache import remembered

# A query of 3 words ("Return a string.") fits hundreds of functions; one above 40 is an essay.
MIN_QUERY_WORDS, MAX_QUERY_WORDS = 4, 40
# Test suites, demonstrations, and what pip put beside the standard library.
_NOT_LIBRARY = {"__pycache__", "dist-packages", "idle_test", "site-packages", "test", "tests", "turtledemo"}
# An application, and two packages that Python 3.12 and 3.13 removed and that live on as copies inside other
# distributions (setuptools, black): with them the pairs would overlap with common training corpora.
_COPIED_ELSEWHERE = {"distutils", "idlelib", "lib2to3"}
EXCLUDED_FOLDERS = frozenset(_NOT_LIBRARY | _COPIED_ELSEWHERE)

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
DocumentedNode = FunctionNode | ast.ClassDef
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z`'\"(*])")
# A blank line, a doctest prompt, or a line of a field list ends the opening paragraph.
_PARAGRAPH_END = re.compile(r"\n[ \t]*(?:\n|>>> |:param |@param )")


class Pair(NamedTuple):
    """One query with its one relevant document; the id serves for both."""

    id: str
    query: str
    document: str


PairsOfSource = Callable[[str, str], Iterator[Pair]]
"""(source, file name) to the pairs of one file, in the order of its lines."""


def build(name: str, pairs_of_source: PairsOfSource, limit: int | None, what: str) -> Benchmark:
    """A benchmark from the running interpreter's standard library; `what` describes query -> document.

    Raises:
        RevelaError: the standard library's sources are not on this machine.
    """
    root = Path(sysconfig.get_paths()["stdlib"])
    pairs = subset(collect_pairs(root, pairs_of_source), limit)
    if not pairs:
        raise RevelaError(
            f"benchmark '{name}': no Python sources to make pairs of below {root}; "
            "this interpreter was installed without the sources of its standard library."
        )
    return Benchmark(
        name=name,
        corpus={pair.id: pair.document for pair in pairs},
        queries={pair.id: pair.query for pair in pairs},
        qrels={pair.id: {pair.id: 1} for pair in pairs},
        description=(
            f"{what}, {len(pairs)} pairs, "
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
    made_by = [__name__, pairs_of_source.__module__]
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
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes and the like are not ours to mend
            tree = ast.parse(source)
    except (SyntaxError, ValueError) as fault:
        raise RevelaError(f"benchmark of the standard library: {file} does not parse: {fault}") from None
    return tree, source.split("\n")  # not splitlines(): form feeds are not line ends to the parser


def first_sentence(docstring: str) -> str | None:
    """The first sentence of a docstring's first paragraph on one line; None where it makes no query."""
    paragraph = _PARAGRAPH_END.split(inspect.cleandoc(docstring), maxsplit=1)[0]
    sentence = " ".join(_SENTENCE_END.split(" ".join(paragraph.split()), maxsplit=1)[0].split())
    usable = MIN_QUERY_WORDS <= len(sentence.split()) <= MAX_QUERY_WORDS and ">>>" not in sentence
    return sentence if usable else None


def source_without_docstring(node: DocumentedNode, lines: list[str]) -> str | None:
    """A function's or class's source with decorators and comments, dedented, without its docstring's lines.

    None where the docstring shares a line with code, or where nothing but the docstring is in the body.
    """
    assert node.end_lineno is not None
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    kept = lines[first - 1 : node.end_lineno]
    if ast.get_docstring(node, clean=False) is not None:
        docstring = node.body[0]
        assert docstring.end_lineno is not None and docstring.end_col_offset is not None
        before = lines[docstring.lineno - 1].encode()[: docstring.col_offset]  # columns count bytes
        after = lines[docstring.end_lineno - 1].encode()[docstring.end_col_offset :]
        if len(node.body) < 2 or before.strip() or after.strip():
            return None
        body = lines[docstring.end_lineno : node.end_lineno]
        while not body[0].strip():
            del body[0]
        kept = lines[first - 1 : docstring.lineno - 1] + body
    indent = kept[0][: len(kept[0]) - len(kept[0].lstrip())]
    return "\n".join(line.removeprefix(indent).rstrip() for line in kept)


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


def squash(text: str) -> str:
    """Lower case without white space: what two texts are compared by."""
    return "".join(text.lower().split())


def _read(path: Path) -> str:
    try:
        with tokenize.open(path) as file:  # honours a coding line
            return file.read()
    except (OSError, SyntaxError, UnicodeDecodeError) as fault:
        raise RevelaError(f"benchmark of the standard library: {path}: cannot be read: {fault}") from None

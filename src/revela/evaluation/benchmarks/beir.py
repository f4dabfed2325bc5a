"""A folder in BEIR layout: ``corpus.jsonl``, ``queries.jsonl``, ``qrels/<split>.tsv``.

The layout is that of Thakur et al. 2021 (arXiv 2104.08663). The two JSONL files may be gzipped, and so
may the judgements. A document's text is its title, a space and its text, as BEIR's own baselines have it.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from revela.errors import RevelaError
from revela.evaluation.benchmarks.base import Benchmark
from revela.settings import BeirBenchmark


def load(settings: BeirBenchmark) -> Benchmark:
    """Read the folder; queries with no relevant document in this split are left out.

    Raises:
        RevelaError: a file is missing, or one of its lines is faulty (named as file:line), or no query
            of the split has a relevant document.
    """
    folder = settings.path
    if not folder.is_dir():
        raise RevelaError(f"benchmark '{settings.name}': {folder}: no such folder (key `path`).")
    corpus = read_corpus(_plain_or_gz(folder / "corpus.jsonl"))
    queries = read_queries(_plain_or_gz(folder / "queries.jsonl"))
    qrels_path = _plain_or_gz(folder / "qrels" / f"{settings.split}.tsv")
    qrels = {
        query: judgements
        for query, judgements in read_qrels(qrels_path, queries, corpus).items()
        if max(judgements.values()) > 0
    }
    if not qrels:
        raise RevelaError(f"{qrels_path}: no query has a document with a score above 0.")
    return Benchmark(
        name=settings.name,
        corpus=corpus,
        queries={query: queries[query] for query in qrels},
        qrels=qrels,
        description=f"{len(qrels)} queries of split {settings.split}, {len(corpus)} documents",
        code=settings.code,
    )


def read_corpus(path: Path) -> dict[str, str]:
    """Document id -> title, a space, text (or the text alone where the title is missing or empty)."""
    corpus: dict[str, str] = {}
    for where, row in _rows(path):
        key = _new_id(row, corpus, where)
        title, text = _string(row, "title", where, default="").strip(), _string(row, "text", where)
        corpus[key] = f"{title} {text}" if title else text
    return corpus


def read_queries(path: Path) -> dict[str, str]:
    """Query id -> text."""
    queries: dict[str, str] = {}
    for where, row in _rows(path):
        key = _new_id(row, queries, where)
        queries[key] = _string(row, "text", where)
        if not queries[key].strip():
            raise RevelaError(f"{where}: query '{key}' has an empty `text`.")
    return queries


def read_qrels(path: Path, queries: dict[str, str], corpus: dict[str, str]) -> dict[str, dict[str, int]]:
    """Query id -> {document id: grade}, in the order of the file.

    The first line must be the header. Queries and documents must exist; grades are whole numbers.
    """
    qrels: dict[str, dict[str, int]] = {}
    for where, number, line in _lines(path):
        fields = line.split("\t")
        if len(fields) != 3:
            raise RevelaError(
                f"{where}: expected 3 fields separated by tabs (query-id, corpus-id, score), "
                f"found {len(fields)}."
            )
        query, document, grade = (field.strip() for field in fields)
        if number == 1:
            if _whole(grade) is not None:
                raise RevelaError(f"{where}: expected the header 'query-id<tab>corpus-id<tab>score'.")
            continue
        value = _whole(grade)
        if value is None:
            raise RevelaError(f"{where}: the score must be a whole number, found {grade!r}.")
        if query not in queries:
            raise RevelaError(f"{where}: query '{query}' is not in the queries file.")
        if document not in corpus:
            raise RevelaError(f"{where}: document '{document}' is not in the corpus file; remove the line.")
        if qrels.setdefault(query, {}).setdefault(document, value) != value:
            raise RevelaError(f"{where}: query '{query}' and document '{document}' have another score above.")
    return qrels


def _plain_or_gz(path: Path) -> Path:
    """`path`, or `path` with .gz appended, whichever exists."""
    for candidate in (path, path.with_name(path.name + ".gz")):
        if candidate.is_file():
            return candidate
    raise RevelaError(f"{path}: no such file (nor {path.name}.gz).")


def _lines(path: Path) -> Iterator[tuple[str, int, str]]:
    """("file:line", line number, line) for every line that is not blank."""
    number = 0
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                line = raw.decode("utf-8").rstrip("\r\n")
                if line.strip():
                    yield f"{path}:{number}", number, line
    except UnicodeDecodeError as fault:
        raise RevelaError(f"{path}:{number}: not UTF-8: {fault.reason}.") from None
    except (OSError, EOFError, zlib.error) as fault:
        raise RevelaError(f"{path}:{number + 1}: cannot be read: {fault}.") from None


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """("file:line", JSON object) for every line."""
    for where, _, line in _lines(path):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as fault:
            raise RevelaError(f"{where}: not JSON: {fault.msg} (column {fault.colno}).") from None
        if not isinstance(row, dict):
            raise RevelaError(f"{where}: expected a JSON object, found {type(row).__name__}.")
        yield where, row


def _new_id(row: dict[str, Any], seen: dict[str, str], where: str) -> str:
    """The row's `_id` as a string; whole numbers are accepted, repeated ids are not."""
    key = row.get("_id")
    if isinstance(key, bool) or not isinstance(key, str | int) or not str(key).strip():
        raise RevelaError(f"{where}: `_id` must be a string, found {key!r}.")
    key = str(key)
    if key in seen:
        raise RevelaError(f"{where}: `_id` {key!r} was given to an earlier line too.")
    return key


def _string(row: dict[str, Any], field: str, where: str, default: str | None = None) -> str:
    """A text field; a missing or null one is `default`, and a fault where there is no default."""
    value = row.get(field)
    if value is None:
        value = default
    if not isinstance(value, str):
        raise RevelaError(f"{where}: `{field}` must be a string, found {value!r}.")
    return value


def _whole(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None

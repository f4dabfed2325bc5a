"""A StackExchange dump's ``Posts.xml``: a question with its answers, or a post, is one document.

The dumps (https://archive.org/details/stackexchange) hold one ``<row …/>`` a line, with everything in
its attributes and line ends inside them escaped. So lines are what is read and handed out, and a damaged
one costs itself only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from revela.corpus.schema import Document, Malformed, Record
from revela.corpus.sources.posts import document_of_posts
from revela.corpus.sources.reading import Line, beginning, printable, read_lines, shown, too_large
from revela.corpus.sources.threads import Threads
from revela.errors import RevelaError
from revela.settings import StackExchangeSource

_QUESTION, _ANSWER = 1, 2

_NUMBERS = re.compile(rb'\s(Id|PostTypeId|ParentId|Score|AcceptedAnswerId)="(-?\d{1,18})"')

_FRAME = re.compile(rb"(?:\xef\xbb\xbf)?(?:<\?xml[^>]*\?>)?\s*(?:<posts[^>]*>)?|</posts>")


def check(settings: StackExchangeSource) -> None:
    """Raise :class:`RevelaError` when there is no ``Posts.xml``, or it is not one."""
    path = _path(settings)
    start = beginning(path, 1024)
    _refuse_doctype(path, start)
    if b"<posts" not in start:
        raise RevelaError(
            f"corpus.sources: {path}: not the Posts.xml of a StackExchange dump: no <posts> at its beginning."
        )


def records(settings: StackExchangeSource, max_bytes: int) -> Iterator[Record]:
    """Threads in the order of their questions, or posts in the order of the file.

    A record's payload is the post's line, or the question's and its answers', the accepted one first and
    then by score. Only questions and answers are read, not wikis and the like, and of those with
    `min_score` only what reaches it; a question that does not takes its answers with it.

    Raises:
        RevelaError: as :func:`check`; a DOCTYPE anywhere; a damaged gzip file; no room for the
            temporary file, which is as large as the posts.
    """
    check(settings)
    path = _path(settings)
    source = f"stackexchange:{_label(settings)}"
    if settings.unit == "post":
        for line, numbers, fault in _posts(path, max_bytes):
            if fault is not None or _score_is_enough(numbers, settings):
                yield Record(shown(path), line.number, line.raw, source, fault)
        return
    with Threads() as threads:
        for line, numbers, fault in _posts(path, max_bytes):
            if fault is not None:
                yield Record(shown(path), line.number, b"", source, fault)
            elif not _added(threads, line, numbers, settings):
                again = ("repeated_id", f"a second post with the id {numbers['Id']}")
                yield Record(shown(path), line.number, b"", source, again)
        for number, payload, length in threads.assembled(max_bytes):
            fault = too_large(length, max_bytes) if length > max_bytes else None
            yield Record(shown(path), number, payload, source, fault)
        for number, question in threads.orphans():
            fault = ("no_question", f"an answer to question {question}, which is not in the dump")
            yield Record(shown(path), number, b"", source, fault)


def parse(settings: StackExchangeSource, record: Record) -> Document | Malformed:
    """The document ``<site>/<id>`` of a post or thread, with scores and tags in the metadata."""
    return document_of_posts(record, _label(settings))


def _added(threads: Threads, line: Line, numbers: dict[str, int], settings: StackExchangeSource) -> bool:
    """Add the post, unless its score is too low; False when its id is taken."""
    enough = _score_is_enough(numbers, settings)
    if numbers["PostTypeId"] == _QUESTION:
        return threads.add_question(numbers["Id"], line, numbers.get("AcceptedAnswerId"), enough)
    return not enough or threads.add_answer(numbers["Id"], line, numbers["ParentId"], numbers.get("Score", 0))


def _label(settings: StackExchangeSource) -> str:
    """The folder's name, which is the site's: it is the same on every machine."""
    return printable(_path(settings).absolute().parent.name)


def _path(settings: StackExchangeSource) -> Path:
    if not settings.path.is_dir():
        if settings.path.is_file():
            return settings.path
        raise RevelaError(f"corpus.sources: {settings.path}: no such file or folder.")
    for name in ("Posts.xml", "Posts.xml.gz"):
        if (settings.path / name).is_file():
            return settings.path / name
    raise RevelaError(
        f"corpus.sources: {settings.path}: no Posts.xml or Posts.xml.gz in it. Unpack the site's .7z archive."
    )


def _posts(path: Path, max_bytes: int) -> Iterator[tuple[Line, dict[str, int], tuple[str, str] | None]]:
    """(line, its numbers, fault) of every question, every answer, and every line that is amiss."""
    line, last = Line(0, b"", 0), b""
    for line in read_lines(path, max_bytes):
        if line.length > max_bytes:
            yield line, {}, too_large(line.length, max_bytes)
            continue
        _refuse_doctype(path, line.raw)
        last = line.raw.strip() or last
        numbers = {name.decode(): int(value) for name, value in _NUMBERS.findall(line.raw)}
        fault = _fault(line.raw.strip(), numbers)
        if fault is not None or numbers.get("PostTypeId") in (_QUESTION, _ANSWER):
            yield line, numbers, fault
    if last != b"</posts>":
        yield line, {}, ("bad_xml", "no </posts> behind this line: the file is cut off")


def _fault(raw: bytes, numbers: dict[str, int]) -> tuple[str, str] | None:
    if not raw.startswith(b"<row"):
        return None if _FRAME.fullmatch(raw) else ("bad_xml", "a line that is not a whole <row …/>")
    if not raw.endswith(b"/>"):
        return "bad_xml", "a <row that does not end on its line"
    if "Id" not in numbers or "PostTypeId" not in numbers:
        return "missing_field", "a row without a number as Id and PostTypeId"
    if numbers["PostTypeId"] == _ANSWER and "ParentId" not in numbers:
        return "missing_field", "an answer without a number as ParentId"
    return None


def _score_is_enough(numbers: dict[str, int], settings: StackExchangeSource) -> bool:
    return settings.min_score is None or numbers.get("Score", 0) >= settings.min_score


def _refuse_doctype(path: Path, raw: bytes) -> None:
    if b"<!DOCTYPE" in raw or b"<!ENTITY" in raw:
        raise RevelaError(
            f"corpus.sources: {path}: it declares a DOCTYPE, which no dump does: refused, since entities can "
            "expand without bound."
        )

"""Questions with their answers put together, whatever order they come in, in bounded memory."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from revela.corpus.sources.reading import Line
from revela.errors import RevelaError


class Threads:
    """A temporary database of posts, to be used as a context manager.

    It stands where temporary files stand (``TMPDIR``), and grows as large as the posts that are added.
    """

    def __enter__(self) -> Threads:
        self._folder = tempfile.TemporaryDirectory(prefix="revela-threads-")
        self._database = sqlite3.connect(Path(self._folder.name) / "threads.sqlite")
        # It is thrown away in any case: nothing need survive a crash.
        self._database.executescript(
            """
            PRAGMA journal_mode = OFF;
            PRAGMA synchronous = OFF;
            CREATE TABLE questions (id INTEGER PRIMARY KEY, line, accepted, wanted, raw);
            CREATE TABLE answers (id INTEGER PRIMARY KEY, line, question, score, raw);
            """
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._database.close()
        self._folder.cleanup()

    def add_question(self, id: int, line: Line, accepted: int | None, wanted: bool) -> bool:
        """False when there is a question of this id already.

        One that is not wanted is remembered all the same, so that its answers are no orphans.
        """
        raw = line.raw if wanted else b""
        return self._add("questions", (id, line.number, accepted, wanted, raw))

    def add_answer(self, id: int, line: Line, question: int, score: int) -> bool:
        """False when there is an answer of this id already."""
        return self._add("answers", (id, line.number, question, score, line.raw))

    def assembled(self, max_bytes: int) -> Iterator[tuple[int, bytes, int]]:
        """(line of the question, the thread's lines, their length) in the order of the questions' lines.

        The accepted answer comes first, then by score from high to low. Of a thread longer than
        `max_bytes` only the length is given.
        """
        with _explained():
            self._database.execute("CREATE INDEX of_question ON answers (question)")
            questions = self._database.execute(
                "SELECT id, line, accepted, raw FROM questions WHERE wanted ORDER BY line"
            )
            for id, line, accepted, raw in questions:
                sizes = "SELECT COALESCE(SUM(LENGTH(raw)), 0) FROM answers WHERE question = ?"
                length = len(raw) + self._database.execute(sizes, (id,)).fetchone()[0]
                if length > max_bytes:
                    yield line, b"", length
                    continue
                answers = self._database.execute(
                    "SELECT raw FROM answers WHERE question = ? ORDER BY id IS NOT ?, score DESC, id",
                    (id, accepted),
                )
                yield line, raw + b"".join(row[0] for row in answers), length

    def orphans(self) -> Iterator[tuple[int, int]]:
        """(line, question) of answers whose question was never added, by line."""
        with _explained():
            yield from self._database.execute(
                "SELECT line, question FROM answers "
                "WHERE NOT EXISTS (SELECT 1 FROM questions WHERE id = question) ORDER BY line"
            )

    def _add(self, table: str, values: tuple[object, ...]) -> bool:
        with _explained():
            marks = ", ".join("?" * len(values))
            return (
                self._database.execute(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", values).rowcount > 0
            )


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as fault:
        raise RevelaError(
            f"corpus.sources: the temporary file for threads cannot be written ({fault}). It needs as much "
            f"room as the posts: free some in {tempfile.gettempdir()}, or set TMPDIR, or use `unit: post`."
        ) from None

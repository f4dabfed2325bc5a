"""What a document is: the dataclass, its Parquet schema, and rows that could not become one."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Document:
    """One text of the corpus; the fields are described in :data:`DOCUMENT_SCHEMA`."""

    id: str
    title: str
    text: str
    source: str
    kind: str
    metadata: str = "{}"


@dataclass(frozen=True, slots=True)
class Record:
    """One raw row or file as a source hands it out: read, but not yet parsed.

    Reading is done by one process, in order; parsing and all that follows by many. So a record is
    cheap to make, and holds everything that parsing needs.

    Attributes:
        file: file name as the settings give it, or relative to its source.
        line: line (JSONL, CSV) or row (Parquet, hub), from 1; None when the record is a whole file.
        payload: the file's bytes, or the row as a JSON object in UTF-8.
        source: the source it came from, with the version, commit or revision that was read.
        fault: (reason, what was found) when it could not be read; the payload is then empty.
    """

    file: str
    line: int | None
    payload: bytes
    source: str
    fault: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Malformed:
    """A row or file that could not be read as a document.

    Attributes:
        file: file name as the settings give it, or relative to its source.
        line: line (JSONL) or row (Parquet, hub), from 1; None when the whole file is meant.
        reason: a stable code, one of :data:`MALFORMED_REASONS`.
        what: what exactly was found, for a reader.
        source: the source it came from.
    """

    file: str
    line: int | None
    reason: str
    what: str
    source: str

    @property
    def place(self) -> str:
        """``file:line``, or the file alone."""
        return self.file if self.line is None else f"{self.file}:{self.line}"


MALFORMED_REASONS = frozenset(
    {
        "bad_csv",  # a quote that is not closed, or text behind a closing one
        "bad_encoding",  # not UTF-8
        "bad_html",  # elements nested too deep to be read in reasonable time
        "bad_json",
        "bad_xml",
        "binary",  # a zero byte
        "empty_file",  # a file of rows that has none
        "empty_text",
        "git_lfs_pointer",  # the file's content is kept elsewhere
        "missing_field",
        "no_question",  # an answer whose question is not in the dump
        "not_an_object",
        "repeated_id",  # a second post of a dump with the same number
        "too_large",  # more bytes than corpus.max_record_megabytes
        "unreadable",  # no permission, gone, or a link that leads nowhere
        "wrong_columns",  # more or fewer fields than the header
        "wrong_type",
    }
)


def described(name: str, type_: pa.DataType, description: str) -> pa.Field:
    """A required column that carries its own description in the file."""
    return pa.field(name, type_, nullable=False, metadata={"description": description})


DOCUMENT_SCHEMA = pa.schema(
    [
        described("id", pa.string(), "unique in the corpus and the same on every machine"),
        described("title", pa.string(), "title, or path within the source; may be empty"),
        described("text", pa.string(), "the text as it was read; never blank"),
        described("source", pa.string(), "where it came from, e.g. distributions:pandas==3.1.0"),
        described("kind", pa.string(), "python, markdown, rst, text, or another suffix without its dot"),
        described("metadata", pa.string(), "anything else, as a JSON object"),
    ]
)

DROPPED_SCHEMA = pa.schema(
    [
        described("id", pa.string(), "id the document would have had"),
        described("source", pa.string(), "where it came from"),
        described("reason", pa.string(), "code of the rule that dropped it"),
        described("detail", pa.string(), "what the rule measured"),
        described("text", pa.string(), "the text as it was read"),
    ]
)

# Suffix -> kind where they differ; every other suffix is its own kind.
_KINDS = {
    ".py": "python",
    ".pyi": "python",
    ".md": "markdown",
    ".markdown": "markdown",
    ".rst": "rst",
    ".htm": "html",
    ".xhtml": "html",
    ".txt": "text",
    "": "text",
}

# Kinds whose lines are paragraphs rather than statements.
PROSE_KINDS = frozenset({"text", "markdown", "rst"})


def kind_of(suffix: str) -> str:
    """Kind of a document from its file's suffix: ``".py"`` -> ``"python"``, ``".toml"`` -> ``"toml"``."""
    suffix = suffix.lower()
    return _KINDS.get(suffix, suffix.removeprefix("."))

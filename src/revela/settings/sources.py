"""`corpus.sources`: where raw text comes from; one class a kind of source."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from revela.settings.base import Positive, Strict

Suffix = Annotated[str, Field(pattern=r"^\.[A-Za-z0-9_.]+$")]
Suffixes = Annotated[list[Suffix], Field(min_length=1)]


class SourceBase(Strict):
    """What all sources have in common."""

    weight: Annotated[float, Field(gt=0)] | None = Field(
        None, description="share of the corpus in characters, relative to the other sources; all or none"
    )


class DistributionsSource(SourceBase):
    """Source files of installed Python distributions; one file is one document."""

    kind: Literal["distributions"]
    names: Annotated[list[str], Field(min_length=1)]
    suffixes: Suffixes = Field([".py"])
    exclude: list[str] = Field([], description="shell patterns of paths left out, e.g. */tests/*")


class FolderSource(SourceBase):
    """Text, Markdown, reStructuredText, HTML and code files below a folder."""

    kind: Literal["folder"]
    path: Path
    suffixes: Suffixes = Field([".txt", ".md", ".rst", ".html", ".htm", ".py"])
    exclude: list[str] = Field([], description="shell patterns of paths left out, e.g. */tests/*")


class GitSource(SourceBase):
    """Tracked files of a git repository at a revision; one file is one document."""

    kind: Literal["git"]
    path: Path
    revision: str = "HEAD"
    suffixes: Suffixes = Field([".txt", ".md", ".rst", ".html", ".htm", ".py"])
    exclude: list[str] = Field([], description="shell patterns of paths left out, e.g. */tests/*")


class FilesSource(SourceBase):
    """JSONL, CSV or TSV (each plain or .gz) or Parquet files; `path` may be a glob pattern."""

    kind: Literal["files"]
    path: str
    text_field: str = "text"
    id_field: str | None = Field("_id", description="rows without it are called <file>#<line>")
    title_field: str | None = Field("title", description="rows without it have an empty title")
    metadata_fields: list[str] = Field([], description="columns kept as JSON in `metadata`")
    document_kind: str = Field(
        "text", description="kind of every document: text, markdown, rst, html, python, …"
    )
    document_kind_field: str | None = Field(None, description="column with the kind, where it varies")
    quoting: bool = Field(
        True, description="CSV and TSV: fields may stand in double quotes; false: a quote is a character"
    )


class HubSource(SourceBase):
    """A Hugging Face data set, by name."""

    kind: Literal["hub"]
    name: str
    config: str | None = None
    split: str = "train"
    revision: str | None = None
    text_field: str = "text"
    id_field: str | None = None
    title_field: str | None = None
    metadata_fields: list[str] = Field([], description="columns kept as JSON in `metadata`")
    document_kind: str = Field(
        "text", description="kind of every document: text, markdown, rst, html, python, …"
    )
    limit: Positive | None = Field(None, description="read at most this many rows")


Preset = Literal[
    "wikipedia-nq", "stackoverflow-posts", "online-tutorials", "library-documentation", "fineweb-edu"
]


class PresetSource(SourceBase):
    """A corpus of the paper by a short name; see `revela.corpus.sources.presets` for what each stands for."""

    kind: Literal["preset"]
    name: Preset
    revision: str | None = None
    limit: Positive | None = Field(None, description="read at most this many rows")


class StackExchangeSource(SourceBase):
    """A StackExchange dump: `Posts.xml` (plain or .gz), or the folder that holds it."""

    kind: Literal["stackexchange"]
    path: Path
    unit: Literal["thread", "post"] = Field(
        "thread", description="one document a question with its answers, or one a post"
    )
    min_score: int | None = Field(None, description="posts with a lower score are left out; null keeps all")


Source = Annotated[
    DistributionsSource
    | FolderSource
    | GitSource
    | FilesSource
    | HubSource
    | PresetSource
    | StackExchangeSource,
    Field(discriminator="kind"),
]

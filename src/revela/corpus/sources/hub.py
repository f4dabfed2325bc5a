"""A data set of the Hugging Face hub (or a local data set folder), streamed."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from revela.corpus.schema import Document, Malformed, Record
from revela.corpus.sources.rows import Columns, document_of_row, payload_of_row
from revela.errors import RevelaError
from revela.settings import HubSource

# By name: they come from huggingface_hub, httpx and datasets, and move between them.
_UNREACHABLE = {
    "ConnectionError",
    "ConnectError",
    "OfflineModeIsEnabled",
    "LocalEntryNotFoundError",
    "Timeout",
}


def check(settings: HubSource) -> None:
    """Open the data set and raise :class:`RevelaError` when it cannot be had or lacks `text_field`."""
    _stream(settings)


def records(settings: HubSource, max_bytes: int) -> Iterator[Record]:
    """Rows of the data set in their order, at most `limit` of them, each with the wanted columns only.

    Raises:
        RevelaError: no network, no such data set, configuration or split, no permission.
    """
    label = _label(settings)
    source = f"hub:{label}@{settings.revision}" if settings.revision else f"hub:{label}"
    columns = Columns.of(settings)
    rows = islice(iter(_stream(settings)), settings.limit)
    for number, row in enumerate(_explained(rows, settings), start=1):
        _, payload, fault = payload_of_row(number, row, columns, max_bytes)
        yield Record(label, number, payload, source, fault)


def size(settings: HubSource) -> None:
    """Unknown before it has been streamed."""
    return None


def parse(settings: HubSource, record: Record) -> Document | Malformed:
    """One row's document; without `id_field` it is called ``<name>[/<config>]/<split>#<row>``."""
    return document_of_row(record, Columns.of(settings), record.file)


def _label(settings: HubSource) -> str:
    return "/".join(part for part in (_shown(settings.name), settings.config, settings.split) if part)


def _shown(name: str) -> str:
    """A hub id as it is; of an absolute folder only the last part, which every machine shares."""
    return name.rstrip("/").rpartition("/")[2] if name.startswith("/") else name


def _stream(settings: HubSource) -> Any:
    # Imported here: it takes a second, and only this kind of source needs it.
    import datasets

    try:
        stream = datasets.load_dataset(
            settings.name, settings.config, split=settings.split, revision=settings.revision, streaming=True
        )
    except Exception as fault:
        raise _explain(fault, settings) from fault
    found = stream.column_names
    if not found:
        return stream
    columns = Columns.of(settings)
    columns.check(found, f"data set {settings.name}")
    return stream.select_columns([name for name in found if name in columns.wanted()])


def _explained(rows: Iterator[Any], settings: HubSource) -> Iterator[Any]:
    """The same rows; what fails while they are streamed is explained too."""
    number = 0
    try:
        for row in rows:
            yield row
            number += 1
    except RevelaError:
        raise
    except Exception as fault:
        raise _explain(fault, settings, after_row=number) from fault


def _explain(fault: Exception, settings: HubSource, after_row: int | None = None) -> RevelaError:
    """What went wrong with the hub, in the user's terms; the library's own words are kept at the end."""
    kinds = {base.__name__ for base in type(fault).__mro__}
    words = " ".join(str(fault).split())
    if "gated" in words.lower() or kinds & {"GatedRepoError"}:
        advice = "it is gated: accept its terms on its page and log in with `hf auth login`"
    elif kinds & _UNREACHABLE:
        advice = (
            "the hub cannot be reached: check the network and HF_HUB_OFFLINE, or download the data set "
            "elsewhere and read its files with `kind: files`"
        )
    elif kinds & {"DatasetNotFoundError", "RepositoryNotFoundError", "FileNotFoundError"}:
        advice = "no such data set (or it is private): check `name` and `revision`, or `hf auth login`"
    elif "scripts are no longer supported" in words:
        advice = (
            "it comes with a loading script, which `datasets` no longer runs: download its files with "
            f"`hf download {settings.name} --repo-type dataset` and read them with `kind: files`, or try "
            "`revision: refs/convert/parquet` (the hub converts only the first 5 GB of such a data set)"
        )
    elif after_row is not None:
        advice = (
            f"damaged after row {after_row} or a little later: download its files and read "
            "them with `kind: files`, which names the damaged row and goes on"
        )
    elif isinstance(fault, ValueError):
        advice = "check `config` and `split`"
    else:
        advice = "it could not be read"
    return RevelaError(
        f"corpus.sources: data set {settings.name}: {advice}. ({type(fault).__name__}: {words[:300]})"
    )

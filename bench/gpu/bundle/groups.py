"""Groups of eight chunks to learn from, made by the product's own stages."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from revela.corpus.pipeline import filter_corpus
from revela.corpus.sources import check_sources
from revela.errors import RevelaError
from revela.groups.pipeline import build_batches
from revela.groups.reading import Groups
from revela.settings import BatchesSettings, CorpusSettings, DistributionsSource, FilesSource, Source

PACKAGES = (
    "aiohttp", "anyio", "attrs", "celery", "click", "dask", "datasets", "docker", "dulwich", "dvc", "Flask",
    "fsspec", "GitPython", "httpcore", "huggingface_hub", "Jinja2", "joblib", "kombu", "Markdown",
    "matplotlib", "mlflow", "mpmath", "networkx", "numpy", "packaging", "pandas", "peft", "prefect",
    "prompt_toolkit", "psutil", "pydantic", "Pygments", "requests", "rich", "scikit-learn", "scipy",
    "SQLAlchemy", "sqlparse", "sympy", "tornado", "tqdm", "urllib3", "websockets", "Werkzeug",
)  # fmt: skip
"""Of these, what is installed. None is a fork of the standard library, which is the benchmark."""

TINY_PACKAGES = ("click",)

_WITHOUT = ["*/test/*", "*/tests/*", "*/testing/*", "*/externals/*", "*/_vendor/*"]


def python_source(names: Sequence[str]) -> DistributionsSource:
    """The source files of those packages that are installed.

    Raises:
        RevelaError: none is.
    """
    installed = [name for name in names if _is_installed(name)]
    if not installed:
        raise RevelaError("groups/python: none of its packages is installed; run `make setup`.")
    return DistributionsSource(kind="distributions", names=installed, exclude=_WITHOUT)


def text_source(name: str, path: Path) -> FilesSource:
    """A JSONL file (also .gz) with the fields `_id` and `text`.

    Raises:
        RevelaError: it is not there, or not such a file; names the option.
    """
    source = FilesSource(kind="files", path=str(path))
    try:
        check_sources(CorpusSettings(sources=[source]))
    except RevelaError as fault:
        raise RevelaError(f"--corpus {name}={path}: {fault}") from fault
    return source


def write_groups(
    source: Source,
    protected: Sequence[str],
    tokenizer_dir: Path,
    target: Path,
    *,
    limit: int | None,
    workers: int | None,
) -> dict[str, Any]:
    """Write one folder of groups, in which no text of a benchmark is.

    Args:
        protected: texts of the benchmarks.
        tokenizer_dir: holds the tokenizer.json that chunks are measured by.
        limit: groups at most.
        workers: processes; None: one a core.

    Returns:
        how many groups, and the share of them whose chunks all come from different documents.

    Raises:
        RevelaError: the source gives not one group.
    """
    corpus = CorpusSettings(sources=[source], keep_dropped=False, workers=workers)
    layout = BatchesSettings(
        strategy="random",
        group_size=8,
        chunk_tokens=128,
        query_ratio=0.25,
        max_groups=limit,
        workers=workers,
    )
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        scratch = Path(folder)
        filter_corpus(corpus, protected, scratch / "documents", scratch / "report")
        build_batches(layout, 0, scratch / "documents", tokenizer_dir, scratch / "groups", scratch / "report")
        _uncompress(scratch / "groups")
        (scratch / "groups").rename(target)
    groups = Groups(target)
    apart = sum(len({chunk.document_id for chunk in group}) == groups.group_size for group in groups)
    return {"groups": len(groups), "of_different_documents": round(apart / len(groups), 4)}


def _uncompress(folder: Path) -> None:
    """What is compressed column by column cannot be compressed as a whole, to half the size."""
    for file in sorted(folder.glob("*.parquet")):
        pq.write_table(pq.read_table(file), file, compression="none")


def _is_installed(name: str) -> bool:
    try:
        return distribution(name).files is not None
    except PackageNotFoundError:
        return False

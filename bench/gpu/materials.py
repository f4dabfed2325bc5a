"""The folder that `prepare` made, as the product's functions want it: backbones, groups, benchmarks."""

from __future__ import annotations

import dataclasses
import importlib
import os
import sys
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from revela.files import atomic_directory

if TYPE_CHECKING:
    from bench.gpu.experiments import Experiment
    from revela.evaluation.benchmarks.base import Benchmark

CODE_BENCHMARKS = ("docstrings", "classes", "errors")
"""The product's own benchmarks, known to `run` by these names; they are the goal of the Python chunks."""

# Tokens kept of a text, as params.yaml has it for the product's own, and as published for the others.
_CODE_TOKENS, _TEXT_TOKENS = 160, 256


class Materials:
    """What is in FOLDER, and what is made of it below OUT.

    Args:
        folder: models/, groups/, benchmarks/, golden/, mlflow.db; see bench/gpu/prepare.py.
        out: what must be made is made here, once.
        tiny: a GGUF file is cut to two layers, benchmarks to a few queries.
        only: names of the experiments that are wanted; none is all of them.
    """

    def __init__(self, folder: Path, out: Path, tiny: bool, only: Collection[str] = ()) -> None:
        self._only = frozenset(only)
        self.folder, self.out, self.tiny = folder.resolve(), out.resolve(), tiny
        self.golden = self.folder / "golden"
        self._loaded: dict[str, Benchmark] = {}

    # --- models ---------------------------------------------------------------------------------------

    @property
    def bare(self) -> Path:
        """Folder with ``lm`` and ``retriever``, both the language model as it comes."""
        given = self.folder / "models"
        return given if (given / "retriever").is_dir() else self.out / "bare"

    def make_models(self) -> None:
        """Turn models/lm.gguf into folders, unless that has been done. 25 s of a core at 135M.

        Raises:
            FileNotFoundError: there is neither the file nor the folders.
        """
        if (self.bare / "lm").is_dir():
            return
        gguf = self.folder / "models" / "lm.gguf"
        if not gguf.is_file():
            raise FileNotFoundError(f"{gguf}: no such file, nor models/lm and models/retriever")
        from revela.modeling.backbone import prepare_backbone
        from revela.settings import BackboneSettings

        # The product finds a GGUF file in an installed distribution: this folder is one.
        wheel = self.out / "given" / "gpu_lm"
        wheel.mkdir(parents=True, exist_ok=True)
        _link(wheel / "lm.gguf", gguf)
        sys.path.insert(0, str(wheel.parent))
        importlib.invalidate_caches()
        source = {"kind": "wheel", "name": "gpu_lm", "layers": 2 if self.tiny else None}
        retriever = {**source, "pooling": "lasttoken", "max_tokens": 128}
        settings = BackboneSettings.model_validate({"retriever": retriever, "lm": source})
        prepare_backbone(settings, self.out / "bare")

    def start(self, name: str) -> Path:
        """The retriever that an experiment starts from: ``bare`` or a folder of models/."""
        return self.bare / "retriever" if name == "bare" else self.folder / "models" / name

    def has(self, experiment: Experiment) -> bool:
        """Whether it is wanted, and its models, groups and benchmarks are there."""
        if self._only and experiment.name not in self._only:
            return False
        start = self.start(experiment.start)
        from_gguf = experiment.start == "bare" and (self.folder / "models" / "lm.gguf").is_file()
        groups = (self.folder / "groups" / experiment.groups).is_dir()
        return (from_gguf or start.is_dir()) and groups and bool(self.benchmark_names(experiment.code))

    def backbone(self, name: str, *, lm: Path, retriever: Path) -> Path:
        """A folder for `train` that names these two, by links: nothing is copied or hashed again."""
        folder = self.out / "backbones" / name
        folder.mkdir(parents=True, exist_ok=True)
        _link(folder / "lm", lm)
        _link(folder / "retriever", retriever)
        return folder

    # --- groups -----------------------------------------------------------------------------------------

    def groups(self, name: str, seed: int, start: int = 0) -> Path:
        """The groups of groups/`name` in an order of their own for each seed, beginning with number `start`.

        With one order for all, seeds would differ in their adapters' initial values alone.
        """
        import numpy as np
        import pyarrow as pa
        import pyarrow.parquet as pq

        target = self.out / "groups" / f"{name}-seed{seed}-from{start}"
        if target.is_dir():
            return target
        shards = sorted((self.folder / "groups" / name).glob("groups-*.parquet"))
        table = pa.concat_tables(pq.read_table(shard) for shard in shards)
        count = len(table["group"].unique())
        order = np.roll(np.random.default_rng(seed).permutation(count), -start)
        size = len(table) // count
        rows = (order[:, None] * size + np.arange(size)).reshape(-1)
        shuffled = table.take(pa.array(rows))
        numbers = pa.array(np.repeat(np.arange(count), size), pa.int64())
        at = table.schema.get_field_index("group")
        with atomic_directory(target) as folder:
            shuffled = shuffled.set_column(at, table.schema.field(at), numbers)
            pq.write_table(shuffled, folder / "groups-00000.parquet")
        return target

    # --- benchmarks -------------------------------------------------------------------------------------

    def benchmark_names(self, code: bool) -> list[str]:
        """The product's own benchmarks that are there, or all others."""
        there = sorted(path.name for path in (self.folder / "benchmarks").glob("*") if path.is_dir())
        return [name for name in CODE_BENCHMARKS if name in there] if code else [
            name for name in there if name not in CODE_BENCHMARKS
        ]  # fmt: skip

    def benchmark(self, name: str) -> Benchmark:
        """One of benchmarks/, read once."""
        if name not in self._loaded:
            from revela.evaluation.benchmarks.beir import load
            from revela.settings import BeirBenchmark

            path = self.folder / "benchmarks" / name
            code = name in CODE_BENCHMARKS
            whole = load(BeirBenchmark(kind="beir", name=name, path=path, code=code))
            self._loaded[name] = _few_queries(whole) if self.tiny else whole
        return self._loaded[name]


def _few_queries(benchmark: Benchmark, queries: int = 12, others: int = 20) -> Benchmark:
    """The first queries, what is judged for them, and some more documents."""
    kept = list(benchmark.queries)[:queries]
    qrels = {query: benchmark.qrels[query] for query in kept}
    wanted = {document for judged in qrels.values() for document in judged} | set(
        list(benchmark.corpus)[:others]
    )
    corpus = {key: text for key, text in benchmark.corpus.items() if key in wanted}
    return dataclasses.replace(
        benchmark, corpus=corpus, queries={key: benchmark.queries[key] for key in kept}, qrels=qrels
    )


def tokens_of(benchmark: str) -> int:
    """Tokens kept of its texts."""
    return _CODE_TOKENS if benchmark in CODE_BENCHMARKS else _TEXT_TOKENS


def _link(link: Path, target: Path) -> None:
    """Let `link` point to `target`, by a relative path, whatever it pointed to before."""
    relative = os.path.relpath(target.resolve(), link.parent.resolve())
    if link.is_symlink() and os.readlink(link) == relative:
        return
    link.unlink(missing_ok=True)
    link.symlink_to(relative, target_is_directory=target.is_dir())

"""What is training on raw text worth on other collections, with one and the same settings?

- ``python -m bench.adaptation train COLLECTION... --work FOLDER`` trains params.yaml on each collection's own
  documents, never on its queries, as GPL does (arXiv 2112.07577); with ``--corpus FILE`` once on other text.
- ``python -m bench.adaptation search COLLECTION... --work FOLDER --trained-on TEXT --retriever ...`` takes
  retrievers that were trained before.

Every retriever, the encoder that it started from and BM25 then search the collections (folders in BEIR's
layout), and ``OUT/adaptation.md`` says what the training was worth, query by query. What is there already, a
training or a search, is not done again.
"""

from __future__ import annotations

import itertools
import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import pandas as pd
import typer
import yaml

from bench.adaptation_table import DEFAULT, OWN, table
from bench.tables import publish
from revela.errors import RevelaError
from revela.evaluation.benchmarks import load_benchmarks
from revela.evaluation.benchmarks.base import Benchmark
from revela.evaluation.bm25 import bm25_identifiers_run, bm25_run
from revela.evaluation.dense import dense_runs
from revela.evaluation.fusion import reciprocal_rank_fusion
from revela.evaluation.report import HYBRID, SUBJECT
from revela.evaluation.scoring import score
from revela.evaluation.vector_cache import VectorCache
from revela.files import atomic_write_text, read_json, write_json
from revela.settings import BeirBenchmark, load_settings

log = logging.getLogger("bench")
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

# Words of the shortest document that is trained on: many a title with its abstract has no 40, the default.
SHORTEST = 15

Collections = Annotated[list[Path], typer.Argument(help="Folders in BEIR's layout.")]
Work = Annotated[Path, typer.Option(help="Where models, trainings and vectors are kept.")]
Code = Annotated[list[str] | None, typer.Option(help="A collection whose documents are Python.")]
Tokens = Annotated[int, typer.Option(help="Read of a text at most, by all encoders.")]
Out = Annotated[Path, typer.Option(help="Folder of the results.")]
Params = Annotated[Path, typer.Option(help="Settings that are trained with.")]
RESULTS = Path("bench/results/from_an_encoder")
PARAMS = Path("params.yaml")


class Searches(NamedTuple):
    """What all searches of a run share.

    Attributes:
        collections: name -> benchmark.
        params: settings that everything else is taken from.
        base: project folder with the models as downloaded.
        rows: folder of the scores.
    """

    collections: dict[str, Benchmark]
    params: Path
    base: Path
    tokens: int
    cache: VectorCache
    rows: Path

    @property
    def backbone(self) -> Path:
        return self.base / "data" / "backbone"

    def search(self, retriever: Path, name: str, folder: str) -> None:
        """Search one collection, unless ``rows/folder/name.parquet`` says that it was."""
        file = self.rows / folder / f"{name}.parquet"
        if file.is_file():
            return
        began = time.perf_counter()
        scores = self.scores(retriever, self.collections[name])
        file.parent.mkdir(parents=True, exist_ok=True)
        scores.to_parquet(file, index=False)
        log.info("%s: %s searched in %.0f s", folder, name, time.perf_counter() - began)

    def scores(self, retriever: Path, benchmark: Benchmark) -> pd.DataFrame:
        """Every query's, of BM25, the start, the retriever, and retriever and BM25 fused.

        Returns:
            The columns of :func:`revela.evaluation.scoring.score`, and ``model``.
        """
        settings = load_settings(self.base / "params.yaml").evaluate
        found = dense_runs(
            {"untrained": self.backbone / "retriever", SUBJECT: retriever},
            [benchmark],
            max_tokens=self.tokens,
            batch_size=settings.batch_size,
            precision=settings.precision,
            cache=self.cache,
        ).runs
        lexical = (bm25_identifiers_run if benchmark.code else bm25_run)(benchmark, settings.bm25)
        runs = {"bm25": lexical} | {model: run[benchmark.name] for model, run in found.items()}
        runs[HYBRID] = reciprocal_rank_fusion(lexical, runs[SUBJECT])
        return pd.concat([score(benchmark.qrels, run).assign(model=model) for model, run in runs.items()])


def prepared(
    collections: list[Path], params: Path, work: Path, code: list[str] | None, tokens: int, out: Path
) -> Searches:
    """Load the collections, and make the models as downloaded where they are not there yet."""
    named = {folder.name: folder for folder in collections}
    loaded = load_benchmarks([
        BeirBenchmark(kind="beir", name=name, path=folder, code=name in (code or []))
        for name, folder in named.items()
    ])  # fmt: skip
    base = work / f"backbone-{tokens}"
    if not (base / "data" / "backbone").is_dir():
        write_params(base, params, tokens)
        run_stage(base, "prepare-backbone")
    benchmarks = {benchmark.name: benchmark for benchmark in loaded}
    return Searches(benchmarks, params, base, tokens, VectorCache(work / "vectors"), out / "adaptation")


class Job(NamedTuple):
    """One training, and what is searched with it.

    Attributes:
        text, name: of the text, and of the training's folder.
        settings: further sections of params.yaml.
    """

    text: str
    name: str
    documents: Path
    searched: list[str]
    settings: dict[str, Any]


def _jobs(collections: list[Path], corpus: Path | None) -> list[Job]:
    if corpus is None:
        return [Job(OWN, one.name, _documents(one), [one.name], {}) for one in collections]
    name = corpus.name.split(".")[0]
    # What is trained on must not hold what is searched.
    apart = [{"kind": "beir", "name": one.name, "path": str(one.resolve())} for one in collections]
    settings = {"evaluate": {"benchmarks": apart}}
    return [Job(name, name, corpus, [one.name for one in collections], settings)]


def _documents(collection: Path) -> Path:
    for name in ("corpus.jsonl", "corpus.jsonl.gz"):
        if (collection / name).is_file():
            return collection / name
    raise RevelaError(f"{collection}: no corpus.jsonl, which a folder in BEIR's layout has.")


def trained(
    project: Path, documents: Path, searches: Searches, *, python: bool, seed: int, **other: Any
) -> Path:
    """The retriever of a project that is trained on a file, trained now if it is not yet.

    Args:
        documents: JSONL with one a line, also .gz.
        python: they are code.
        other: further sections of params.yaml.
    """
    retriever = project / "models" / "retriever"
    if retriever.is_dir():
        return retriever
    source = {"kind": "files", "path": str(documents.resolve())}
    if python:
        source["document_kind"] = "python"
    corpus: dict[str, Any] = {"sources": [source], "filters": {"min_words": SHORTEST}}
    write_params(project, searches.params, searches.tokens, seed=seed, corpus=corpus, **other)
    backbone = project / "data" / "backbone"
    if not backbone.exists():
        backbone.parent.mkdir(exist_ok=True)
        backbone.symlink_to(searches.backbone.resolve())
    for stage in ("filter-corpus", "build-batches", "train"):
        run_stage(project, stage)
    return retriever


def write_params(project: Path, params: Path, tokens: int, **changed: Any) -> None:
    """Settings with another length, no probe on a built-in benchmark, and the given sections."""
    settings = yaml.safe_load(params.read_text(encoding="utf-8"))
    settings["backbone"]["retriever"]["max_tokens"] = tokens
    settings["evaluate"]["max_tokens"] = tokens
    settings["training"]["probe"] = None
    for section, value in changed.items():
        settings[section] = settings[section] | value if isinstance(value, dict) else value
    project.mkdir(parents=True, exist_ok=True)
    atomic_write_text(project / "params.yaml", yaml.safe_dump(settings, sort_keys=False))


def run_stage(project: Path, stage: str) -> None:
    """One command of ``revela`` in a project's folder; what it prints is the user's to see.

    Raises:
        RevelaError: it failed.
    """
    log.info("%s: %s", project.name, stage)
    # Threads that spin while they wait slow each other down on shared cores.
    environment = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", **os.environ}
    ended = subprocess.run([sys.executable, "-m", "revela", stage], cwd=project, env=environment)
    if ended.returncode:
        raise RevelaError(f"{project}: `revela {stage}` ended with {ended.returncode}; it said why above.")


@app.command("train")
def train_and_search(
    collections: Collections,
    work: Work,
    corpus: Annotated[Path | None, typer.Option(help="JSONL to train on, not each one's own text.")] = None,
    code: Code = None,
    seed: Annotated[list[int], typer.Option()] = [0],  # noqa: B006 (typer reads it, nobody changes it)
    tokens: Tokens = 256,
    params: Params = PARAMS,
    out: Out = RESULTS,
) -> None:
    """Train on raw text with the settings of params.yaml, then search."""
    searches = prepared(collections, params, work, code, tokens, out)
    for number, job in itertools.product(seed, _jobs(collections, corpus)):
        project = work / f"{job.name}-{tokens}-seed-{number}"
        folder = f"{job.text}/{DEFAULT}/seed-{number}"
        python = job.name in (code or [])
        retriever = trained(project, job.documents, searches, python=python, seed=number, **job.settings)
        for one in job.searched:
            searches.search(retriever, one, folder)
        kept = read_json(project / "results" / "train" / "metrics.json")["kept"]
        told = {key: kept[key] for key in ("state", "because", "step")}
        write_json(searches.rows / folder / f"{job.name}.json", told)
    publish(table(searches.rows, tokens), out, "adaptation")


@app.command("search")
def search_with(
    collections: Collections,
    retriever: Annotated[list[str], typer.Option(help="NAME/seed-N=FOLDER, trained before.")],
    trained_on: Annotated[str, typer.Option(help="Name of the text that they were trained on.")],
    work: Work,
    code: Code = None,
    tokens: Tokens = 256,
    params: Params = PARAMS,
    out: Out = RESULTS,
) -> None:
    """Search with retrievers that were trained before."""
    given = {}
    for one in retriever:
        name, _, folder = one.partition("=")
        if "/seed-" not in name or not (Path(folder) / "modules.json").is_file():
            raise RevelaError(f"--retriever {one}: expected NAME/seed-N=FOLDER of a saved retriever.")
        given[name] = Path(folder)
    searches = prepared(collections, params, work, code, tokens, out)
    for (name, saved), one in itertools.product(given.items(), searches.collections):
        searches.search(saved, one, f"{trained_on}/{name}")
    publish(table(searches.rows, tokens), out, "adaptation")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        app()
    except RevelaError as fault:
        raise SystemExit(f"error: {fault}") from None

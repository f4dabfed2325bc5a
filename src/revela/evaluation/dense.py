"""Exact dense retrieval with any folder that sentence-transformers can load."""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sentence_transformers import SentenceTransformer

from revela.evaluation.benchmarks.base import Benchmark
from revela.evaluation.encoding import Encode, encode_together, encode_with_cache
from revela.evaluation.loading import by_transformer, default_device, encoder_digest, load_encoder
from revela.evaluation.passages import best_of_each, split_passages
from revela.evaluation.ranking import TOP_K, Ranker, Run
from revela.evaluation.vector_cache import VectorCache
from revela.modeling.precision import Precision, resolve_dtype

# Scores held at once while ranking: 2^26 float32 are 256 MiB.
MAX_SCORES = 2**26


class Searched(NamedTuple):
    """What the models found, and how long it took.

    Attributes:
        runs: model -> benchmark -> run.
        seconds: names of the models that share a transformer, with commas between -> seconds.
    """

    runs: dict[str, dict[str, Run]]
    seconds: dict[str, float]


def dense_runs(
    models: Mapping[str, Path],
    benchmarks: Sequence[Benchmark],
    *,
    max_tokens: int | None,
    batch_size: int,
    precision: Precision = "auto",
    device: str | None = None,
    k: int = TOP_K,
    best_passage: bool = False,
    cache: VectorCache | None = None,
) -> Searched:
    """The `k` documents with the largest cosine for every query of every benchmark.

    Models with one transformer (before and after whitening, say) share its forward.

    Args:
        models: name -> a saved SentenceTransformer; its own prompts, pooling and tokenizer are used.
        max_tokens: tokens kept of a text, prompt and end token included; None is as its folder says.
        batch_size: texts encoded together; in fp32 it affects speed and memory only.
        precision: of the encoder; vectors are compared in float32 in any case.
        device: as torch names it; None is the GPU if there is one.
        best_passage: documents longer than that are split and score as their best passage; else
            they are cut.
        cache: has vectors of earlier calls, and gets those of this one.

    Raises:
        RevelaError: a folder cannot be loaded, has fewer positions than `max_tokens`, or gives vectors
            that are not finite.
    """
    device = device or default_device()
    dtype = resolve_dtype(precision, device)
    runs: dict[str, dict[str, Run]] = {name: {} for name in models}
    seconds: dict[str, float] = {}
    for group in by_transformer(models, dtype):
        started = time.monotonic()
        label = ", ".join(group)
        encoders = _loaded(group, max_tokens, precision, device)
        keys = None
        if cache is not None:
            keys = [encoder_digest(folder, dtype, max_tokens, device) for folder in group.values()]
        for benchmark in benchmarks:
            encode = functools.partial(encode_with_cache, cache, keys) if cache and keys else encode_together
            found = runs_of(
                encoders,
                benchmark,
                batch_size=batch_size,
                k=k,
                name=f"{benchmark.name}, {label}",
                best_passage=best_passage,
                encode=encode,
            )
            for name, run in zip(group, found, strict=True):
                runs[name][benchmark.name] = run
        seconds[label] = time.monotonic() - started
    return Searched(runs, seconds)


def dense_run(
    model_dir: Path, benchmark: Benchmark, *, max_tokens: int | None, batch_size: int, **options
) -> Run:
    """The same for one model and one benchmark; the options are those of :func:`dense_runs`."""
    models = {model_dir.name: model_dir}
    found = dense_runs(models, [benchmark], max_tokens=max_tokens, batch_size=batch_size, **options)
    return found.runs[model_dir.name][benchmark.name]


def _loaded(
    group: Mapping[str, Path], max_tokens: int | None, precision: Precision, device: str
) -> list[SentenceTransformer]:
    """The models, with one transformer in memory."""
    encoders: list[SentenceTransformer] = []
    for folder in group.values():
        encoder = load_encoder(folder, max_tokens=max_tokens, precision=precision, device=device)
        if encoders:
            encoder[0] = encoders[0][0]
        encoders.append(encoder)
    return encoders


def run_of(
    model: SentenceTransformer, benchmark: Benchmark, *, batch_size: int, k: int = TOP_K, name: str
) -> Run:
    """The run of a model in memory; `name` is for progress reports."""
    return runs_of([model], benchmark, batch_size=batch_size, k=k, name=name)[0]


def runs_of(
    models: Sequence[SentenceTransformer],
    benchmark: Benchmark,
    *,
    batch_size: int,
    k: int = TOP_K,
    name: str,
    best_passage: bool = False,
    encode: Encode | None = None,
) -> list[Run]:
    """The runs of models in memory that share their first module."""
    encode = encode or encode_together
    texts = list(benchmark.corpus.values())
    counts = None
    if best_passage:
        room = _room(models[0])
        passages = [split_passages(models[0].tokenizer, text, room) for text in texts]
        texts, counts = [one for several in passages for one in several], [len(one) for one in passages]
    queries = encode(models, list(benchmark.queries.values()), "query", batch_size, f"{name}: queries")
    documents = encode(models, texts, "document", batch_size, f"{name}: documents")
    rank = Ranker(list(benchmark.corpus), k)
    return [_ranked(benchmark, *vectors, rank, counts) for vectors in zip(queries, documents, strict=True)]


def _ranked(
    benchmark: Benchmark, queries: np.ndarray, documents: np.ndarray, rank: Ranker, counts: list[int] | None
) -> Run:
    step = max(1, MAX_SCORES // len(documents))
    blocks = (queries[start : start + step] @ documents.T for start in range(0, len(queries), step))
    if counts is not None:
        blocks = (best_of_each(block, counts) for block in blocks)
    rows = (row for block in blocks for row in block)
    return {query: rank(row) for query, row in zip(benchmark.queries, rows, strict=True)}


def _room(model: SentenceTransformer) -> int:
    """Tokens of a document that fit beside its prompt and the special tokens."""
    prompt = model.prompts.get("document") or ""
    taken = len(model.tokenizer(f"{prompt}a").input_ids) - 1
    assert model.max_seq_length is not None  # as load_encoder sets it
    return max(1, model.max_seq_length - taken)

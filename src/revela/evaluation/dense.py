"""Exact dense retrieval with any folder that sentence-transformers can load."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from revela.errors import RevelaError
from revela.evaluation.benchmarks.base import Benchmark
from revela.evaluation.passages import best_of_each, split_passages
from revela.evaluation.ranking import TOP_K, Ranker, Run
from revela.modeling.encoder import load_encoder as sentence_transformer
from revela.progress import track

Precision = Literal["auto", "bf16", "fp32"]
# Texts encoded between two progress reports: seconds on two cores.
SLICE = 64
# Scores held at once while ranking: 2^26 float32 are 256 MiB.
MAX_SCORES = 2**26


def dense_run(
    model_dir: Path,
    benchmark: Benchmark,
    *,
    max_tokens: int,
    batch_size: int,
    precision: Precision = "auto",
    device: str | None = None,
    k: int = TOP_K,
    label: str | None = None,
    best_passage: bool = False,
) -> Run:
    """The `k` documents with the largest cosine for every query.

    Args:
        model_dir: a saved SentenceTransformer; its own prompts, pooling and tokenizer are used.
        max_tokens: tokens kept of a text, prompt and end token included.
        batch_size: texts encoded together; in fp32 it affects speed and memory only.
        precision: of the encoder; vectors are compared in float32 in any case.
        device: as torch names it; None is the GPU if there is one.
        best_passage: documents longer than `max_tokens` are split and score as their best passage; else
            they are cut.
        label: the model's name in progress reports; None is the folder's.

    Raises:
        RevelaError: the folder cannot be loaded, has fewer positions than `max_tokens`, or gives vectors
            that are not finite.
    """
    model = load_encoder(model_dir, max_tokens=max_tokens, precision=precision, device=device)
    name = f"{benchmark.name}, {label or model_dir.name}"
    return run_of(model, benchmark, batch_size=batch_size, k=k, name=name, best_passage=best_passage)


def run_of(
    model: SentenceTransformer,
    benchmark: Benchmark,
    *,
    batch_size: int,
    k: int = TOP_K,
    name: str,
    best_passage: bool = False,
) -> Run:
    """The same for a model in memory; `name` is for progress reports."""
    texts = list(benchmark.corpus.values())
    counts = None
    if best_passage:
        passages = [split_passages(model.tokenizer, text, _room(model)) for text in texts]
        texts, counts = [one for several in passages for one in several], [len(one) for one in passages]
    queries = encode(model, list(benchmark.queries.values()), "query", batch_size, f"{name}: queries")
    documents = encode(model, texts, "document", batch_size, f"{name}: documents")
    rank = Ranker(list(benchmark.corpus), k)
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
    return max(1, model.max_seq_length - taken)


def load_encoder(
    model_dir: Path, *, max_tokens: int, precision: Precision = "auto", device: str | None = None
) -> SentenceTransformer:
    """Load a saved SentenceTransformer for inference in the wanted precision.

    Raises:
        RevelaError: as for :func:`dense_run`.
    """
    if not (model_dir / "modules.json").is_file():
        # Without it the library would quietly build a mean-pooling model around the weights.
        raise RevelaError(f"{model_dir}: not a saved SentenceTransformer (no modules.json).")
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    dtype = inference_dtype(precision, device)
    try:
        # The dtype must be given: the default is whatever the weights happen to be stored in.
        model = sentence_transformer(model_dir, dtype, device)
    except (OSError, ValueError) as fault:
        raise RevelaError(f"{model_dir}: cannot be loaded as a SentenceTransformer: {fault}") from fault
    config = getattr(model.transformers_model, "config", None)
    positions = getattr(config, "max_position_embeddings", None)
    if positions is not None and max_tokens > positions:
        raise RevelaError(
            f"evaluate.max_tokens is {max_tokens}, but {model_dir} has only {positions} positions; lower it."
        )
    model.max_seq_length = max_tokens
    return model.eval()


def inference_dtype(precision: Precision, device: str) -> torch.dtype:
    """bfloat16 where asked for, or under "auto" where the hardware computes in it; else float32."""
    if precision != "auto":
        return torch.bfloat16 if precision == "bf16" else torch.float32
    if torch.device(device).type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if native else torch.float32


def encode(
    model: SentenceTransformer,
    texts: Sequence[str],
    role: Literal["query", "document"],
    batch_size: int,
    description: str,
) -> np.ndarray:
    """Unit vectors of texts in the model's query or document prompt.

    Returns:
        (texts, dimensions) float32, rows of norm 1 in the order of `texts`.

    Raises:
        RevelaError: a vector is not finite.
    """
    method = model.encode_query if role == "query" else model.encode_document
    # Longest first: batches waste little padding, and a batch too large for the memory fails at once.
    order = sorted(range(len(texts)), key=lambda index: (-len(texts[index]), index))
    step = max(1, SLICE // batch_size) * batch_size
    slices = [order[start : start + step] for start in range(0, len(order), step)]
    vectors: np.ndarray | None = None
    for indices, rows in _encoded(method, texts, slices, batch_size, description):
        if not np.isfinite(rows).all():
            raise RevelaError(
                f"{description}: the model gives vectors that are not finite. If precision is bf16, try "
                "`evaluate.precision: fp32`; if that does not help, training diverged."
            )
        if vectors is None:
            vectors = np.empty((len(texts), rows.shape[1]), dtype=np.float32)
        # Again, in float32: a vector normalised in bfloat16 has a norm off by up to 0.4 %.
        vectors[indices] = rows / np.linalg.norm(rows, axis=1, keepdims=True).clip(min=1e-12)
    assert vectors is not None  # a benchmark has at least one query and one document
    return vectors


def _encoded(
    method: Callable[..., torch.Tensor],
    texts: Sequence[str],
    slices: list[list[int]],
    batch_size: int,
    description: str,
) -> Iterator[tuple[list[int], np.ndarray]]:
    """(indices, their rows as float32) slice by slice, reporting progress."""
    for indices in track(slices, description, total=len(slices)):
        rows = method(
            [texts[index] for index in indices],
            batch_size=batch_size,
            convert_to_tensor=True,
            show_progress_bar=False,
        )
        yield indices, rows.float().cpu().numpy()

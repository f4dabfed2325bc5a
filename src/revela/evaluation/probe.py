"""How well the retriever searches, measured now and then while it trains."""

from __future__ import annotations

import torch
from sentence_transformers import SentenceTransformer

from revela.evaluation.benchmarks import Benchmark, load_benchmark
from revela.evaluation.dense import run_of
from revela.evaluation.ranking import Run
from revela.evaluation.scoring import mean_scores, score
from revela.settings import ProbeSettings


class Probe:
    """nDCG@10 of a model in memory on one small benchmark.

    It tells how training goes; the figures to report are those of the stage evaluate.

    Raises:
        RevelaError: the benchmark cannot be loaded.
    """

    def __init__(self, settings: ProbeSettings) -> None:
        self.benchmark = load_benchmark(settings.benchmark)
        self.every = settings.every
        self.max_tokens = settings.max_tokens

    def __call__(self, encoder: SentenceTransformer) -> float:
        """Mean nDCG@10, 0 to 1; leaves the model as it was."""
        run = run_meanwhile(encoder, self.benchmark, self.max_tokens, f"probe, {self.benchmark.name}")
        return mean_scores(score(self.benchmark.qrels, run))["ndcg_at_10"]


@torch.no_grad()
def run_meanwhile(encoder: SentenceTransformer, benchmark: Benchmark, max_tokens: int, name: str) -> Run:
    """The run of a model that is being trained, which is left as it was; `name` is for progress reports."""
    training, limit = encoder.training, encoder.max_seq_length
    encoder.eval()
    encoder.max_seq_length = min(max_tokens, limit or max_tokens)
    try:
        return run_of(encoder, benchmark, batch_size=32, name=name)
    finally:
        encoder.max_seq_length = limit
        encoder.train(training)

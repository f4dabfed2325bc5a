"""How good a state of the retriever is, told without labels: by pairs of text that training never saw."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from sentence_transformers import SentenceTransformer

from revela.errors import RevelaError
from revela.evaluation.benchmarks import Benchmark, load_benchmark
from revela.evaluation.probe import run_meanwhile
from revela.evaluation.scoring import mean_scores, score
from revela.pairs.reading import Pairs
from revela.pairs.validation import kind_of, questions_of
from revela.settings import Settings, ValidationSettings

OWN = "questions"
"""Name of the one score where a user's own questions decide."""


class Validation:
    """nDCG@10 on a user's own questions, or on the held-out pairs of each kind that training sees.

    Args:
        groups_dir: what `build_batches` wrote, held-out pairs among it; read unless `settings` names a
            benchmark.

    Attributes:
        every: steps from one measurement to the next.

    Raises:
        RevelaError: the benchmark cannot be loaded, or fewer than 10 pairs are held out.
    """

    def __init__(self, settings: ValidationSettings, groups_dir: Path) -> None:
        self.every = settings.every
        self._max_tokens = settings.max_tokens
        if settings.benchmark is not None:
            self._benchmarks = {OWN: load_benchmark(settings.benchmark)}
        else:
            self._benchmarks = _held_out(Pairs(groups_dir), settings.pairs)

    def __call__(self, encoder: SentenceTransformer) -> tuple[float, dict[str, float], list[float]]:
        """nDCG@10, 0 to 1: mean over all queries, kind by kind, and each; leaves the model as it was.

        An answer is looked for among the passages of its query's kind: of another kind may be the same text
        in another form, code with its docstring and without it, and as good an answer.
        """
        scores = {}
        for name, benchmark in self._benchmarks.items():
            run = run_meanwhile(encoder, benchmark, self._max_tokens, f"validation, {name}")
            scores[name] = score(benchmark.qrels, run)
        every = pd.concat(scores.values())
        means = {name: mean_scores(table)["ndcg_at_10"] for name, table in scores.items()}
        return mean_scores(every)["ndcg_at_10"], means, every["ndcg_at_10"].tolist()


def validation_of(settings: Settings, groups_dir: Path) -> Validation | None:
    """What the settings ask for; None where nothing is decided by it."""
    training = settings.training
    decides = training.keep == "best" or any(map(training.is_tried, training.before_phases()))
    return Validation(training.validation, groups_dir) if decides and training.validation else None


def _held_out(pairs: Pairs, most: int) -> dict[str, Benchmark]:
    """Kind -> its questions."""
    queries, passages = questions_of(pairs, most)
    if len(queries) < 10:
        raise RevelaError(
            f"training.validation: {len(queries)} pairs are held out, too few to tell anything. Raise "
            "batches.pairs.held_out, add text, name your own questions (training.validation.benchmark), or "
            "take `validation` out: then the last state is kept, whatever it is worth."
        )
    found: dict[str, Benchmark] = {}
    for name, query in queries.items():
        kind = kind_of(name)
        if kind not in found:
            found[kind] = Benchmark("validation", {}, {}, {}, "pairs that are held out", code=False)
        found[kind].corpus[name], found[kind].queries[name] = passages[name], query
        found[kind].qrels[name] = {name: 1}
    return found

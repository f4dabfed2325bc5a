"""How good a state of the retriever is, told without labels: by pairs of text that training never saw."""

from __future__ import annotations

from pathlib import Path

from sentence_transformers import SentenceTransformer

from revela.errors import RevelaError
from revela.evaluation.benchmarks import Benchmark, load_benchmark
from revela.evaluation.probe import run_meanwhile
from revela.evaluation.ranking import TOP_K
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
        self._own = settings.benchmark is not None
        if settings.benchmark is not None:
            self._benchmark = load_benchmark(settings.benchmark)
        else:
            self._benchmark = _held_out(Pairs(groups_dir), settings.pairs)

    def __call__(self, encoder: SentenceTransformer) -> tuple[float, dict[str, float], list[float]]:
        """nDCG@10, 0 to 1: mean over all queries, kind by kind, and each; leaves the model as it was.

        An answer is looked for among the passages of its query's kind: of another kind may be the same text
        in another form, code with its docstring and without it, and as good an answer.
        """
        k = TOP_K if self._own else len(self._benchmark.corpus)
        run = run_meanwhile(encoder, self._benchmark, self._max_tokens, "validation", k=k)
        if not self._own:
            run = {query: _of_kind(kind_of(query), found) for query, found in run.items()}
        scores = score(self._benchmark.qrels, run)
        mean, each = mean_scores(scores)["ndcg_at_10"], scores["ndcg_at_10"].tolist()
        if self._own:
            return mean, {OWN: mean}, each
        kinds = scores["query_id"].map(kind_of)
        means = scores.groupby(kinds, sort=False)["ndcg_at_10"].mean()
        return mean, {str(kind): float(value) for kind, value in means.items()}, each


def validation_of(settings: Settings, groups_dir: Path) -> Validation | None:
    """What the settings ask for; None where nothing is decided by it."""
    training = settings.training
    decides = training.keep == "best" or any(map(training.is_tried, training.before_phases()))
    return Validation(training.validation, groups_dir) if decides and training.validation else None


def _of_kind(kind: str, found: dict[str, float]) -> dict[str, float]:
    return {passage: score for passage, score in found.items() if kind_of(passage) == kind}


def _held_out(pairs: Pairs, most: int) -> Benchmark:
    queries, passages = questions_of(pairs, most)
    if len(queries) < 10:
        raise RevelaError(
            f"training.validation: {len(queries)} pairs are held out, too few to tell anything. Raise "
            "batches.pairs.held_out, add text, name your own questions (training.validation.benchmark), or "
            "take `validation` out: then the last state is kept, whatever it is worth."
        )
    qrels = {query: {query: 1} for query in queries}
    return Benchmark("validation", passages, queries, qrels, "pairs that are held out", code=False)

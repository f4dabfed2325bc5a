"""Run mteb itself, so that its result files can be submitted to its leaderboard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from revela.errors import RevelaError
from revela.evaluation.benchmarks.mteb_tasks import tasks_of
from revela.evaluation.loading import load_encoder
from revela.files import sha256_tree
from revela.modeling.precision import Precision


def run_mteb(
    names: list[str],
    model_dir: Path,
    model_name: str,
    out_dir: Path,
    *,
    max_tokens: int | None,
    batch_size: int,
    precision: Precision = "auto",
    tasks: list[Any] | None = None,
) -> dict[str, float]:
    """Evaluate on mteb's tasks with mteb's own code, the model's prompts included.

    Results are mteb's JSON below ``out_dir/results/<model>/<revision>``, per-query rankings below
    ``out_dir/predictions``. The revision is the hash of the model's files: mteb takes results of another
    checkpoint of the same name for this one's otherwise.

    Args:
        names: of tasks or benchmarks.
        model_name: as on the leaderboard, ``organisation/name``.
        tasks: instead of those that `names` mean.

    Returns:
        Task -> main score, 0 to 1.

    Raises:
        RevelaError: mteb is missing, a name is unknown, the data cannot be had, or the model not be loaded.
    """
    wanted = tasks if tasks is not None else tasks_of(names)
    import mteb
    from mteb.cache import ResultCache

    model = load_encoder(model_dir, max_tokens=max_tokens, precision=precision)
    model.model_card_data.model_name = model_name
    model.model_card_data.base_model_revision = sha256_tree(model_dir)[:40]
    scores: dict[str, float] = {}
    for task in wanted:
        name = task.metadata.name
        try:
            found = mteb.evaluate(
                model,
                task,
                cache=ResultCache(out_dir),
                prediction_folder=out_dir / "predictions",
                encode_kwargs={"batch_size": batch_size},
            )
        except Exception as fault:  # the data's loaders have many errors of their own
            raise RevelaError(
                f"mteb task '{name}': {type(fault).__name__}: {fault}\n"
                "If its data is missing: it comes from the Hugging Face hub on first use; run once with a "
                f"network. What is finished is kept in {out_dir}."
            ) from fault
        scores[name] = float(found.task_results[0].get_score())
    return scores

"""Documents -> pairs in Parquet, counted and shown: a part of the stage `build_batches`."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from revela.corpus.shards import ShardWriter
from revela.errors import RevelaError
from revela.files import write_json
from revela.pairs.generated import Generated
from revela.pairs.held_out import is_held_out
from revela.pairs.mining import Mined, mine
from revela.pairs.report import markdown
from revela.pairs.schema import PAIR_SCHEMA
from revela.pairs.shares import shares_of
from revela.settings import PairsSettings

log = logging.getLogger(__name__)

SHARES = "shares.json"


def build_pairs(
    settings: PairsSettings,
    seed: int,
    documents_dir: Path,
    protected: Iterable[str],
    folder: Path,
    workers: int | None = None,
    generated: Generated | None = None,
) -> tuple[dict[str, Any], str]:
    """Find the pairs that `batches.pairs` asks for.

    `folder` gets ``pairs-*.parquet`` (:data:`PAIR_SCHEMA`) and ``shares.json``. The same input and seed give
    the same bytes, whatever the number of processes.

    Args:
        documents_dir: what ``filter_corpus`` wrote.
        protected: queries of benchmarks, which must not be trained on.
        folder: exists.
        workers: processes; None is one a core.
        generated: what a language model wrote (:func:`revela.questions.pipeline.generate`).

    Returns:
        counts for ``metrics.json``, and the part of the report that shows them.

    Raises:
        RevelaError: no corpus, or a kind that is asked for by name has no pairs to train on.
    """
    mined = mine(documents_dir, settings, seed, protected, workers, generated)
    held = {
        kind: [is_held_out(pair.document_id, settings.held_out, seed) for pair in pairs]
        for kind, pairs in mined.pairs.items()
    }
    trained = {kind: held[kind].count(False) for kind in held}
    _check(settings, trained)
    shares = shares_of(settings.kinds, trained)
    with ShardWriter(folder, "pairs", PAIR_SCHEMA) as writer:
        for kind, pairs in mined.pairs.items():
            for pair, kept_back in zip(pairs, held[kind], strict=True):
                row = asdict(pair) | {"held_out": kept_back}
                writer.write(row, len(pair.query) + len(pair.passage))
    write_json(folder / SHARES, shares)
    log.info("pairs: %s", ", ".join(f"{kind} {share:.0%}" for kind, share in shares.items()))
    metrics = _metrics(mined, shares, {kind: held[kind].count(True) for kind in held})
    return metrics, markdown(metrics, mined.pairs)


def _check(settings: PairsSettings, trained: dict[str, int]) -> None:
    """Nothing that was asked for may be missing without a word."""
    there = ", ".join(f"{kind} ({number})" for kind, number in trained.items() if number) or "none"
    if not isinstance(settings.kinds, str):
        missing = [kind for kind in settings.kinds if not trained.get(kind)]
        if missing:
            raise RevelaError(
                f"batches.pairs.kinds: the corpus has no pairs of kind {', '.join(missing)}. Of those asked "
                f"for it has: {there}. Remove the others, or write `kinds: auto`, which takes what "
                "there is (docs/pairs.md says what each kind reads)."
            )
    elif not any(trained.values()):
        raise RevelaError(
            "batches.pairs: the corpus has no pairs of any kind: no titles, headings, docstrings, no text "
            "of 24 words and more. Remove `batches.pairs` and the phases that read `pairs`, or add text."
        )


def _metrics(mined: Mined, shares: dict[str, float], held_out: dict[str, int]) -> dict[str, Any]:
    return {
        "pairs": sum(map(len, mined.pairs.values())),
        "documents": mined.documents,
        "kinds": {
            kind: {
                "pairs": len(pairs),
                "held_out": held_out[kind],
                "documents": len({pair.document_id for pair in pairs}),
                "share": shares.get(kind, 0.0),
            }
            for kind, pairs in mined.pairs.items()
        },
        "dropped_by_reason": {
            reason: dict(sorted(kinds.items())) for reason, kinds in sorted(mined.dropped.items())
        },
    }

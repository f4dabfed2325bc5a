"""The settings of every training of a run: METHOD.md's section 8, as `revela train` reads them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from revela.settings import Settings

Kind = Literal["contrastive", "revela", "adapt", "paper"]

LM_RATE = 1e-4
_CHECKPOINT_S = 60.0


@dataclass(frozen=True)
class Shape:
    """What a CPU's rehearsal has smaller than a GPU's run.

    Attributes:
        groups: of an optimizer step.
        rank: of the retriever's adapters.
        precision: as in params.yaml.
    """

    groups: int = 32
    rank: int = 64
    precision: str = "auto"


TINY = Shape(groups=2, rank=4, precision="fp32")


def settings_for(
    kind: Kind,
    shape: Shape,
    *,
    steps: int,
    seed: int,
    rate: float,
    step_s: float = 1.0,
    mini_batch: int | None = None,
) -> Settings:
    """One training.

    Args:
        kind: ``contrastive``; ``revela``, joint attention, both models learning; ``adapt``, the language
            model alone on BM25's weights; ``paper``, the paper's attention, its language model adapted first.
        steps: of ``shape.groups`` groups each; of each phase of ``paper``.
        rate: the retriever's learning rate.
        step_s: seconds that a step is expected to take; decides how often a checkpoint is written.
        mini_batch: texts whose activations are held at a time; None holds all.

    Raises:
        pydantic.ValidationError: the product does not know such settings.
    """
    from revela.settings import Settings

    unused = {"kind": "folder", "name": "unused"}
    return Settings.model_validate(
        {
            "seed": seed,
            "backbone": {"retriever": unused, "lm": unused},
            "corpus": {"sources": [{"kind": "folder", "path": "unused"}]},
            "batches": {},
            "objective": _objective(kind),
            "training": {
                "phases": _phases(kind, shape, steps, rate),
                # The contrastive term of one forward sees all chunks of a step; next-token prediction takes
                # its groups one by one. Either way a step is as many groups.
                "groups_per_step": 1 if kind == "contrastive" else shape.groups,
                "lora": _lora(shape),
                "precision": shape.precision,
                "retriever_mini_batch": mini_batch,
                "lm_max_tokens": 64,
                "gain_every": 5 if kind == "paper" else 10,
                # A checkpoint of a language model trained whole is 1.6 GB: a few a run.
                "save_every": max(1, min(steps // 2 + 1, round(_CHECKPOINT_S / step_s))),
                "save_lm": kind == "adapt",
            },
            "evaluate": {"benchmarks": [{"kind": "docstrings"}]},
            "registry": {"experiment": "gpu"},
        }
    )


def _lora(shape: Shape) -> dict[str, Any]:
    """Adapters for the retriever; the language model is trained whole."""
    return {"retriever": {"rank": shape.rank, "alpha": shape.rank, "targets": "all-linear"}, "lm": None}


def _objective(kind: Kind) -> dict[str, Any]:
    contrastive = {"contrastive_temperature": 0.05, "contrastive_symmetric": True}
    if kind == "paper":
        return {"attention": "paper", "temperature": 1e-4, "min_weight": 1e-6, "top_k": None, **contrastive}
    return {"attention": "joint", "temperature": 0.05, "min_weight": 0.0, "top_k": 4, **contrastive}


def _phases(kind: Kind, shape: Shape, steps: int, rate: float) -> list[dict[str, Any]]:
    common = {"steps": steps, "warmup_steps": min(10, steps // 4)}
    parts = {"terms": {"revela": 1.0}, "rows": "parts"}
    adapt = {
        **common, **parts, "name": "adapt", "train": ["lm"], "learning_rate": {"lm": LM_RATE},
        "weights": "bm25", "decay": "constant",
    }  # fmt: skip
    both = {
        **common, **parts, "name": "revela", "train": ["retriever", "lm"],
        "learning_rate": {"retriever": rate, "lm": LM_RATE},
    }  # fmt: skip
    contrastive = {
        **common, "name": "contrastive", "train": ["retriever"], "terms": {"contrastive": 1.0},
        "learning_rate": {"retriever": rate}, "contrastive_groups": shape.groups,
    }  # fmt: skip
    return {
        "contrastive": [contrastive],
        "revela": [both],
        "adapt": [adapt],
        # A little above 0: the mean of three measurements is off by that much.
        "paper": [{**adapt, "until_gain": 0.02}, both],
    }[kind]

"""What the steps of a plan share: where things are, what is left, where rows go."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.gpu.budget import Budget
from bench.gpu.materials import Materials
from bench.gpu.recipes import TINY, Kind, Shape, settings_for
from bench.gpu.store import Store

if TYPE_CHECKING:
    from bench.gpu.watch import Watch


@dataclass
class Job:
    """One `run`.

    Attributes:
        say: one line to whoever waits.
        reserved_s: seconds kept for what comes after learning.
    """

    materials: Materials
    store: Store
    budget: Budget
    tiny: bool
    say: Callable[[str], None]
    reserved_s: float = 0.0

    def left(self) -> float:
        """Seconds that learning may take."""
        return max(0.0, self.budget.left() - self.reserved_s)

    @property
    def shape(self) -> Shape:
        return TINY if self.tiny else Shape()

    @property
    def out(self) -> Path:
        return self.materials.out

    @property
    def adapted_lm(self) -> Path:
        """The language model that was adapted once, for all."""
        return self.out / "models" / "adapt" / "lm"

    def checkpoints(self, training: str) -> Path:
        return self.out / "checkpoints" / slug(training)

    def curve(self, training: str) -> Path | None:
        """curve.csv with timings of a training, begun or ended; None before its first step."""
        found = sorted(self.checkpoints(training).glob("*/curve.csv"), key=lambda path: path.stat().st_mtime)
        return found[-1] if found else None

    def models(self, training: str) -> Path:
        return self.out / "models" / slug(training)

    def train(
        self,
        training: str,
        kind: Kind,
        *,
        lm: Path,
        retriever: Path,
        groups: Path,
        watch: Watch | None = None,
        **recipe: Any,
    ) -> None:
        """`revela train` under the name `training`, or what an interrupted one left of it.

        Args:
            recipe: of :func:`bench.gpu.recipes.settings_for`.
        """
        from revela.training.pipeline import train

        train(
            settings_for(kind, self.shape, **recipe),
            backbone_dir=self.materials.backbone(slug(training), lm=lm, retriever=retriever),
            groups_dir=groups,
            models_dir=self.models(training),
            report_dir=self.out / "reports" / slug(training),
            checkpoints_dir=self.checkpoints(training),
            run_name=training,
            probe=watch,
        )

    def forget(self, training: str, *, models: bool = True) -> None:
        """Remove a finished training's checkpoints, and its models unless they are needed: a few GB each."""
        shutil.rmtree(self.checkpoints(training), ignore_errors=True)
        if models:
            shutil.rmtree(self.models(training), ignore_errors=True)


def slug(name: str) -> str:
    """A file's name for a step's.

    >>> slug("bare: contrastive then revela, seed 1")
    'bare-contrastive-then-revela-seed-1'
    """
    return "-".join(name.replace(":", " ").replace(",", " ").split())


def figures_of(report: Path) -> Mapping[str, Mapping[str, float]]:
    """Phase -> what a training's last steps had, as its report says."""
    kept = ("steps", "conditioned_loss", "plain_loss", "gain", "effective_chunks", "contrastive_loss")
    phases = json.loads((report / "metrics.json").read_text(encoding="utf-8"))
    return {
        phase: {key: figures[key] for key in kept if key in figures}
        for phase, figures in phases.items()
        if "steps" in figures  # else it is of the whole training
    }

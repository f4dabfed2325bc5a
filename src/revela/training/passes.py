"""A small corpus is read fewer times than the settings' steps would: pairs that come again are memorised."""

from __future__ import annotations

import logging
from pathlib import Path

from revela.pairs.reading import Pairs
from revela.settings import Phase, Settings
from revela.training.pair_slice import pairs_consumed

log = logging.getLogger(__name__)


def within_passes(settings: Settings, groups_dir: Path) -> Settings:
    """The settings, with fewer steps where the retriever would see pairs more than `max_passes` times.

    All phases in which it reads pairs are shortened in proportion, the others stay as they are.

    Args:
        groups_dir: with the pairs.

    Raises:
        RevelaError: it holds no pairs, where a phase reads some.
    """
    training = settings.training
    reading = [phase for phase in training.phases if _reads_pairs(phase)]
    if training.max_passes is None or not reading:
        return settings
    pairs = Pairs(groups_dir).trained()
    counts = pairs.counts()
    there = sum(counts[kind] for kind in pairs.shares)
    wanted = sum(pairs_consumed(phase, training.groups_per_step) for phase in reading)
    share = training.max_passes * there / wanted
    if share >= 1:
        return settings
    phases = [_shortened(phase, share) if _reads_pairs(phase) else phase for phase in training.phases]
    log.info(
        "the corpus has %d pairs, which %d steps would read %.1f times: %d steps (training.max_passes)",
        there, sum(phase.steps for phase in reading), wanted / there,
        sum(phase.steps for phase in phases if _reads_pairs(phase)),
    )  # fmt: skip
    return settings.model_copy(update={"training": training.model_copy(update={"phases": phases})})


def _reads_pairs(phase: Phase) -> bool:
    return phase.pairs is not None and "retriever" in phase.train


def _shortened(phase: Phase, share: float) -> Phase:
    steps = max(1, round(phase.steps * share))
    warmup = min(round(phase.warmup_steps * share), steps - 1)
    return phase.model_copy(update={"steps": steps, "warmup_steps": warmup})

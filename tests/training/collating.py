"""Phases and groups as the collator takes them."""

from __future__ import annotations

from revela.settings import Phase
from revela.training.group_slice import StepChunks


def phase(train: list[str], *, changes: dict | None = None, **terms: float) -> Phase:
    rates = {part: 1e-3 for part in train}
    return Phase(name="x", train=train, terms=terms, steps=1, learning_rate=rates, **(changes or {}))


BOTH = phase(["retriever", "lm"], revela=1.0, contrastive=1.0)


def whole(group) -> StepChunks:
    return StepChunks(list(group), [], 0)

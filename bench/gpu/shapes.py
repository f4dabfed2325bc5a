"""Ways of taking a step whose speed is measured."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Shape:
    """One way of taking a step.

    Attributes:
        what: names it, together with `how`.
        attention: ``joint`` or ``paper``.
        groups: of 16 rows, in one forward.
        tokens: of the longest row; others are as short as a quarter of it, all alike with `full`.
        whole_lm: all weights of the language model train.
        parts: the rows are parts of half as many chunks, embedded once each.
        how: ``plain``, ``liger`` (its norms, rotary and SwiGLU), ``compiled`` (`training.compile`) or
            ``checkpointed``.
        reference: also the plain reference, one group.
        billion: random weights in the shape of a 1B model instead of the given ones.
        kernels: also what kernels a GPU runs.
        seconds: that measuring is expected to take on an H100.
    """

    what: str
    attention: str
    groups: int
    tokens: int
    whole_lm: bool = False
    parts: bool = False
    how: str = "plain"
    full: bool = False
    reference: bool = False
    billion: bool = False
    kernels: bool = False
    seconds: float = 15.0

    @property
    def name(self) -> str:
        """Differs from all others'."""
        return f"{self.what}, {self.groups} a forward, {self.how}"


MAIN = Shape("parts of up to 64", "joint", 16, 64, whole_lm=True, parts=True, kernels=True)
FIRST = (MAIN, Shape("paper, B = 16", "paper", 1, 160, full=True, reference=True, seconds=20.0))
LATER = (
    Shape("1B, parts", "joint", 16, 64, parts=True, billion=True, how="checkpointed", seconds=40.0),
    Shape("paper, B = 16", "paper", 16, 160, full=True, how="checkpointed"),
    replace(MAIN, groups=1, kernels=False),
    replace(MAIN, how="liger"),
    Shape("joint, B = 16", "joint", 4, 160, full=True),
)
AT_LAST = (replace(MAIN, how="compiled", seconds=220.0),)
"""FIRST before learning, LATER after it, in order of value; AT_LAST takes minutes to begin."""

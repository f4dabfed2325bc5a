"""Which trainings are compared with which, at equal data."""

from __future__ import annotations

from dataclasses import dataclass

from bench.gpu.recipes import Kind

LEGS: dict[str, tuple[tuple[Kind, float], ...]] = {
    "contrastive": (("contrastive", 1.0),),
    "revela": (("revela", 1.0),),
    "contrastive then revela": (("contrastive", 0.5), ("revela", 0.5)),
    "paper": (("paper", 1.0),),
}
"""Method -> the trainings it consists of, one after another, and their shares of the steps."""


@dataclass(frozen=True)
class Experiment:
    """Several methods, each with several seeds, all with the same number of groups.

    Attributes:
        name: stands in rows and in the names of runs.
        start: the retriever to start from, ``bare`` or a folder of models/.
        groups: a folder of groups/.
        code: measured on the product's own benchmarks; else on all others.
        methods: of :data:`LEGS`.
        seeds: the order of the groups, and the adapters' initial values.
        rate: the retriever's learning rate.
        share: of the time for learning, relative to the others'.
        adapted: the language model is the one that was adapted once; else as it comes.
        timed_as: the experiment whose calibration holds for this one.
    """

    name: str
    start: str
    groups: str
    code: bool
    methods: tuple[str, ...]
    seeds: tuple[int, ...]
    rate: float
    share: float
    adapted: bool = True
    timed_as: str | None = None

    @property
    def calibration(self) -> str:
        """Name of the experiment that measures how long this one's steps take."""
        return self.timed_as or self.name

    def reads_adapted(self, method: str) -> bool:
        """Whether this method's language model is the one that was adapted once."""
        return self.adapted and any(kind != "contrastive" for kind, _ in LEGS[method])

    def runs(self) -> list[tuple[str, int]]:
        """(method, seed), all methods of a seed before the next seed: a cut leaves whole comparisons."""
        return [(method, seed) for seed in self.seeds for method in self.methods]

    def run_name(self, method: str, seed: int) -> str:
        """Also the name of its step."""
        return f"{self.name}: {method}, seed {seed}"


BARE = Experiment(
    name="bare", start="bare", groups="python", code=True,
    methods=("contrastive", "revela", "contrastive then revela"), seeds=(1, 2, 3), rate=3e-4, share=0.4,
)  # fmt: skip
LONG = Experiment(
    name="long", start="bare", groups="python", code=True,
    methods=("revela", "contrastive"), seeds=(1,), rate=3e-4, share=0.25, timed_as="bare",
)  # fmt: skip
"""As far as one training comes: does next-token prediction alone pass BM25, and contrastive training?"""
MINILM = Experiment(
    name="minilm", start="minilm", groups="wiki_en", code=False,
    methods=("contrastive", "revela"), seeds=(1, 2, 3), rate=1e-4, share=0.25,
)  # fmt: skip
PAPER = Experiment(
    name="paper", start="bare", groups="python", code=True,
    methods=("paper",), seeds=(1,), rate=3e-4, share=0.1, adapted=False, timed_as="bare",
)  # fmt: skip
EXPERIMENTS = (BARE, LONG, MINILM, PAPER)

MOST_STEPS = 625
"""20 000 groups: what the presets for GPUs train on; a run is not made longer."""

LEAST_STEPS = 60
"""1 920 groups. Of 256 nobody had learnt anything on an H100; rather fewer seeds than shorter runs."""

"""A score says nothing when the answers were trained on: look before scoring."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from revela.corpus.decontaminate import find_overlaps
from revela.errors import RevelaError
from revela.evaluation.benchmarks.base import Benchmark
from revela.words import word_runs

# Shorter texts, such as a property that returns an attribute, recur in code written independently. And two
# words above the corpus stage's default run of 13, so that what is found here was within its reach there even
# where the first and the last word are only parts of longer words.
MIN_WORDS = 15
_EXAMPLES = 5


def assert_uncontaminated(benchmarks: Sequence[Benchmark], texts: Iterable[str]) -> None:
    """Check that no training text contains a judged benchmark document as a whole, white space aside.

    Documents under :data:`MIN_WORDS` words are not looked for.

    Args:
        benchmarks: what will be scored.
        texts: the documents trained on, gone through once. Whole documents: a chunk of one is often shorter
            than what is looked for.

    Raises:
        RevelaError: some do; the message counts them and shows the first few.
    """
    protected = [
        (benchmark.name, key, text)
        for benchmark in benchmarks
        for key, text in benchmark.judged_documents().items()
        if len(word_runs(text)) >= MIN_WORDS
    ]
    overlaps = find_overlaps(texts, [text for _, _, text in protected])
    if not overlaps:
        return
    examples = []
    for overlap in overlaps[:_EXAMPLES]:
        name, key, text = protected[overlap.protected]
        examples.append(
            f"  training text {overlap.text} contains document '{key}' of benchmark '{name}': "
            f"{' '.join(text.split())[:80]!r}"
        )
    trained_on = len({overlap.text for overlap in overlaps})
    found = len({overlap.protected for overlap in overlaps})
    raise RevelaError(
        f"{trained_on} training text(s) contain {found} benchmark document(s):\n"
        + "\n".join(examples)
        + "\nThe scores would be worthless. Set or lower `corpus.decontamination.words` and rebuild the "
        "corpus, or remove the source that holds these texts."
    )

"""Keep the benchmarks out of the corpus.

:class:`BenchmarkOverlap` drops documents while the corpus is built, by runs of common words, and
:class:`BenchmarkNearDuplicate` those that repeat a benchmark's text with some words changed.
:func:`find_overlaps` checks a finished corpus in another way, by characters, so that a fault in
the one is not repeated in the other.
"""

from __future__ import annotations

import functools
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from revela.corpus.filters.base import Rule, View
from revela.corpus.hash_set import HashSet
from revela.corpus.word_hashes import Hashes, run_hashes, word_hashes
from revela.settings import DecontaminationSettings
from revela.words import PARTS, TOKENS, WORDS

_BASE = 0x9E3779B97F4A7C15  # odd, so that no word's bits are lost; arithmetic is modulo 2**64

# A protected text shorter than a whole run is matched as a whole from this many words on: GPT-3 uses
# runs of 8 to 13 words, by the length of the benchmark's texts (Brown et al. 2020, appendix C).
MIN_WORDS = 8


def protection_rules(settings: DecontaminationSettings, protected_texts: Iterable[str]) -> list[Rule]:
    """The rules that are switched on, in the order in which they are asked."""
    protected_texts = list(protected_texts)
    rules: list[Rule] = []
    if settings.words is not None:
        rules.append(BenchmarkOverlap(protected_texts, settings.words))
    if settings.containment is not None:
        rules.append(BenchmarkNearDuplicate(protected_texts, settings.containment, settings.shingle_words))
    return rules


class BenchmarkOverlap(Rule):
    r"""Drops documents that share a run of `words` consecutive words with a protected text.

    13 words is the run of GPT-3 (arXiv 2005.14165, appendix C). A word is, in lower case, any of

    - a run of letters and digits, so that identifiers are taken apart at underscores,
    - ``\w+``, where an underscore belongs to a word,
    - what white space separates, punctuation included.

    What passes shares no such run by any of the three, title and text joined, with one exception: a
    run without a letter or digit (``| --- | --- |``, ``= = = =``) is layout and counts as nothing.
    Where text is not in Unicode's form NFKC, both the text as it stands and that form are compared.

    A protected text of fewer than `words` words (``\w+``) is matched as a whole when it has at least 8; a
    still shorter one is not used, except for runs that it has by one of the other splittings.

    How one search answers for three splittings: where each word of a common run by the second or third
    splitting holds a letter or digit, the letters and digits within are a common run of at least as many
    words by the first. So of those two only runs are looked up in which some word holds none.

    Args:
        protected_texts: what a model will be judged by.
        words: length of a run.
    """

    reason = "benchmark_overlap"

    def __init__(self, protected_texts: Iterable[str], words: int) -> None:
        self._words = words
        self._beginning = min(MIN_WORDS, words)
        runs: dict[int, list[np.ndarray]] = {PARTS: [], WORDS: [], TOKENS: []}
        wholes: dict[int, list[np.ndarray]] = defaultdict(list)
        for form in (form for text in protected_texts for form in _forms(text)):
            for splitting, found in runs.items():
                found.append(form.runs(splitting, words)[1])
            parts = form.words[PARTS].hashes
            if len(form.words[WORDS].hashes) >= self._beginning and self._beginning <= len(parts) < words:
                wholes[len(parts)].append(run_hashes(parts, len(parts)))
                wholes[0].append(run_hashes(parts[: self._beginning], self._beginning))
        self._runs = {splitting: _set_of(found) for splitting, found in runs.items()}
        # One search for the first words of all short texts goes before those for their different lengths.
        self._beginnings = _set_of(wholes.pop(0, []))
        self._wholes = {length: _set_of(found) for length, found in sorted(wholes.items())}

    def __call__(self, view: View) -> str | None:
        for form in _forms(_judged(view)):
            for splitting, protected in self._runs.items():
                starts, hashes = form.runs(splitting, self._words)
                shared, _ = protected.find(hashes)
                if len(shared):
                    return f"shared: {form.run(splitting, int(starts[shared[0]]), self._words)}"
            for start, length in self._whole_texts(form.words[PARTS].hashes):
                return f"shared: {form.run(PARTS, start, length)}"
        return None

    def _whole_texts(self, parts: np.ndarray) -> Iterator[tuple[int, int]]:
        """(first word, words) of short protected texts within a text."""
        starts, _ = self._beginnings.find(run_hashes(parts, self._beginning))
        for start in starts.tolist():
            for length, protected in self._wholes.items():
                found, _ = protected.find(run_hashes(parts[start : start + length], length))
                if len(found):
                    yield start, length


def _set_of(hashes: list[np.ndarray]) -> HashSet:
    return HashSet(np.concatenate([np.zeros(0, np.uint64), *hashes]))


class BenchmarkNearDuplicate(Rule):
    r"""Drops documents that contain much of a protected text, some words changed.

    Measured is containment: of the protected text's different shingles (runs of `shingle_words` words,
    ``\w+`` in lower case), the share that the document has, too (Broder 1997, "On the resemblance and
    containment of documents"). Jaccard similarity would not do: a passage copied into a long document is
    a small part of it. Counted exactly, by an index from shingles to protected texts.

    Args:
        protected_texts: what a model will be judged by; those under 20 words are left to
            :class:`BenchmarkOverlap`, because a few common phrases are most of them.
        containment: share from which on a document is dropped, in (0, 1].
        shingle_words: words of one shingle.
    """

    reason = "benchmark_near_duplicate"

    def __init__(self, protected_texts: Iterable[str], containment: float, shingle_words: int) -> None:
        self._words = shingle_words
        self._containment = containment
        sets = []
        self._beginnings: list[str] = []
        for text in protected_texts:
            form = _forms(text)[-1]
            if len(form.words[WORDS].hashes) >= max(CONTAINMENT_WORDS, shingle_words):
                sets.append(np.unique(run_hashes(form.words[WORDS].hashes, shingle_words)))
                self._beginnings.append(" ".join(text[:200].split())[:60])
        self._sizes = np.array([len(one) for one in sets], np.int64)
        flat = np.concatenate([*sets, np.zeros(0, np.uint64)])
        self._shingles = HashSet(flat)
        # The protected texts of every shingle, one after another, and where each shingle's begin.
        owners = np.repeat(np.arange(len(sets), dtype=np.int32), self._sizes)
        self._owners = owners[np.argsort(flat, kind="stable")]
        self._offsets = np.searchsorted(np.sort(flat), self._shingles.members).astype(np.int64)
        self._offsets = np.append(self._offsets, len(flat))

    def __call__(self, view: View) -> str | None:
        form = _forms(_judged(view))[-1]
        _, places = self._shingles.find(run_hashes(form.words[WORDS].hashes, self._words))
        if not len(places):
            return None
        places = np.unique(places)
        starts, counts = self._offsets[places], self._offsets[places + 1] - self._offsets[places]
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        common = np.bincount(self._owners[np.repeat(starts, counts) + within], minlength=len(self._sizes))
        shares = common / self._sizes
        most = int(np.argmax(shares))
        if shares[most] < self._containment:
            return None
        return (
            f"{shares[most]:.2f} of the shingles of '{self._beginnings[most]}', "
            f"less than {self._containment:g} wanted"
        )


# A protected text is looked for by its shingles from this many words on.
CONTAINMENT_WORDS = 20


class _Form:
    """A text as its words by the three splittings."""

    def __init__(self, lowered: str) -> None:
        self._text = lowered
        splittings = (PARTS, WORDS, TOKENS)
        self.words: dict[int, Hashes] = dict(zip(splittings, word_hashes(lowered, *splittings), strict=True))
        self._bare = {splitting: self._without_parts(splitting) for splitting in (WORDS, TOKENS)}

    def _without_parts(self, splitting: int) -> np.ndarray | None:
        """(n + 1,) how many of the first words hold no letter or digit; None when every word does."""
        parts, words = self.words[PARTS].starts, self.words[splitting]
        following = np.append(parts, len(self._text))[np.searchsorted(parts, words.starts)]
        bare = following >= words.ends
        return np.concatenate([[0], np.cumsum(bare)]) if bare.any() else None

    def runs(self, splitting: int, length: int) -> tuple[np.ndarray, np.ndarray]:
        """(first words, hashes) of the runs that can be shared; see :class:`BenchmarkOverlap`."""
        words = self.words[splitting]
        if splitting == PARTS:
            hashes = run_hashes(words.hashes, length)
            return np.arange(len(hashes)), hashes
        bare = self._bare[splitting]
        if bare is None or len(words.hashes) < length:
            return np.zeros(0, np.int64), np.zeros(0, np.uint64)
        count = bare[length:] - bare[:-length]
        starts = np.flatnonzero((count > 0) & (count < length))
        return starts, run_hashes(words.hashes, length)[starts]

    def run(self, splitting: int, start: int, length: int) -> str:
        words = self.words[splitting]
        places = zip(words.starts[start : start + length], words.ends[start : start + length], strict=True)
        return " ".join(self._text[first:end] for first, end in places)


def _judged(view: View) -> str:
    document = view.document
    return f"{document.title}\n{document.text}" if document.title else document.text


@functools.lru_cache(maxsize=1)
def _forms(text: str) -> list[_Form]:
    """The text in lower case and, where that is another, also in form NFKC. Both rules ask for the same."""
    lowered = text.lower()
    forms = [_Form(lowered)]
    if not unicodedata.is_normalized("NFKC", lowered):
        forms.append(_Form(unicodedata.normalize("NFKC", lowered).lower()))
    return forms


def _among(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Which values occur in the sorted array `known`: unlike np.isin, this does not sort it every time."""
    if not len(known):
        return np.zeros(len(values), bool)
    places = np.minimum(np.searchsorted(known, values), len(known) - 1)
    return known[places] == values


class Overlap(NamedTuple):
    """`texts[text]` contains `protected[protected]`, white space aside."""

    text: int
    protected: int


# Windows of this many characters are hashed to find candidates; a power of two, see _windows.
_WINDOW = 32


def find_overlaps(texts: Iterable[str], protected: Iterable[str]) -> list[Overlap]:
    """Which texts contain which protected texts, all white space removed from both.

    Every hit is checked character by character, so the answer is exact. Blank protected texts are
    ignored. One pass over the texts; protected texts under 32 visible characters cost one search each.

    Returns:
        pairs of positions, ordered by text, then by protected text.
    """
    squeezed = ["".join(text.split()) for text in protected]
    short = [(number, text) for number, text in enumerate(squeezed) if 0 < len(text) < _WINDOW]
    by_window: dict[int, list[int]] = defaultdict(list)
    for number, text in enumerate(squeezed):
        if len(text) >= _WINDOW:
            by_window[int(_windows(text[:_WINDOW])[0])].append(number)
    wanted = np.array(sorted(by_window), np.uint64)

    overlaps: list[Overlap] = []
    for index, text in enumerate(texts):
        body = "".join(text.split())
        windows = _windows(body)
        present = np.unique(windows[_among(windows, wanted)]).tolist()
        candidates = [number for window in present for number in by_window[window]]
        found = {number for number in candidates if squeezed[number] in body}
        found.update(number for number, sought in short if sought in body)
        overlaps.extend(Overlap(index, number) for number in sorted(found))
    return overlaps


def _windows(text: str) -> np.ndarray:
    """One hash a window of 32 characters, by doubling: (n,) -> (max(0, n - 31),) uint64."""
    hashes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    if len(hashes) < _WINDOW:
        return np.zeros(0, np.uint64)
    width = 1
    base = _BASE
    while width < _WINDOW:
        hashes = hashes[:-width] * np.uint64(base) + hashes[width:]
        base = base * base % 2**64
        width *= 2
    return hashes

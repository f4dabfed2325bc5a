"""Hashes of a text's words, equal in every process, without one Python object a word."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from revela.words import WORDS, character_classes

_BASE = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2**64
_INVERSE = pow(_BASE, -1, 2**64)
# Characters hashed at once: all intermediate arrays stay in the processor's cache.
_PIECE = 1 << 15
_SPACE = re.compile(r"\s")


class Hashes(NamedTuple):
    """Words of one splitting, in order.

    Attributes:
        hashes: (n,) uint64, equal for equal words.
        starts: (n,) int64, the first character of each.
        ends: (n,) int64, the character behind the last of each.
    """

    hashes: np.ndarray
    starts: np.ndarray
    ends: np.ndarray


def word_hashes(text: str, *splittings: int) -> list[Hashes]:
    """The words of `text` by each of the splittings (`PARTS`, `WORDS`, `TOKENS` of :mod:`revela.words`).

    The text is taken as it is: put it into lower case first. A word's hash is the sum of its
    characters times powers of a constant, modulo 2**64 (Karp and Rabin 1987), from prefix sums that
    all splittings share, and then mixed. Two different words get the same hash with a chance of
    about 2**-64; memory beyond the result is bounded, except for a text without white space.
    """
    pieces = [_piece(text[start:end], start, splittings) for start, end in _cuts(text)]
    return [
        Hashes(*(np.concatenate([piece[number][part] for piece in pieces]) for part in range(3)))
        for number in range(len(splittings))
    ]


def lower_words(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of the ``\\w+`` of many texts in lower case.

    Returns:
        (words,) uint64 and (texts + 1,) int64 offsets into them.
    """
    lowered = [text.lower() for text in texts]
    (found,) = word_hashes("\n".join(lowered), WORDS)
    lengths = np.fromiter((len(text) + 1 for text in lowered), np.int64, len(lowered))
    return found.hashes, np.searchsorted(found.starts, np.concatenate([[0], np.cumsum(lengths)]))


def run_hashes(hashes: np.ndarray, length: int) -> np.ndarray:
    """One hash a run of `length` consecutive words: (n,) -> (max(0, n - length + 1),) uint64.

    The polynomial of the run, put together from runs of 1, 2, 4, … words. The hashes must be well mixed,
    or else what comes out is not either.
    """
    count = max(0, len(hashes) - length + 1)
    if not count:
        return np.zeros(0, np.uint64)
    total, done = np.zeros(count, np.uint64), 0
    power, width, base = hashes, 1, _BASE
    while True:
        if length & width:
            total = total * np.uint64(base) + power[done : done + count]
            done += width
        if 2 * width > length:
            return total
        power = power[:-width] * np.uint64(base) + power[width:]
        base = base * base % 2**64
        width *= 2


def mixed(hashes: np.ndarray) -> np.ndarray:
    """Spread every bit over the whole 64 (the finaliser of MurmurHash3, Appleby 2011); one to one."""
    hashes = (hashes ^ (hashes >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    hashes = (hashes ^ (hashes >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return hashes ^ (hashes >> np.uint64(33))


def _cuts(text: str) -> Iterator[tuple[int, int]]:
    """Pieces of about `_PIECE` characters that end before white space, so that no word is cut."""
    start = 0
    while True:
        space = _SPACE.search(text, start + _PIECE)
        if space is None:
            yield start, len(text)
            return
        yield start, space.start()
        start = space.start()


def _piece(text: str, offset: int, splittings: tuple[int, ...]) -> list[tuple[np.ndarray, ...]]:
    if text.isascii():
        encoded = text.encode()
        codes = np.frombuffer(encoded, np.uint8)
        classes = np.frombuffer(encoded.translate(character_classes()[:256].tobytes()), np.uint8)
    else:
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
        classes = character_classes()[codes]
    powers, inverses = _powers(max(_PIECE * 2, 1 << len(text).bit_length()))
    sums = np.zeros(len(codes) + 1, np.uint64)
    # One is added so that a NUL character counts, too.
    np.cumsum((codes.astype(np.uint64) + np.uint64(1)) * powers[: len(codes)], out=sums[1:])
    found: list[tuple[np.ndarray, ...]] = []
    for bit in splittings:
        inside = np.zeros(len(codes) + 2, bool)
        inside[1:-1] = classes & bit
        edges = np.flatnonzero(inside[1:] != inside[:-1])
        starts, ends = edges[::2], edges[1::2]
        found.append((mixed((sums[ends] - sums[starts]) * inverses[starts]), starts + offset, ends + offset))
    return found


@functools.lru_cache(maxsize=2)
def _powers(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Powers 0, 1, … of the base and of its inverse, (count,) uint64 each."""
    both = []
    for factor in (_BASE, _INVERSE):
        steps = np.full(count, factor, np.uint64)
        steps[0] = 1
        both.append(np.cumprod(steps))
    return both[0], both[1]

"""Chunks that repeat an earlier one, word for word or nearly."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Literal

import numpy as np

from revela.chunks.store import ChunkStore
from revela.corpus.minhash import Signer
from revela.corpus.near_duplicates import find_near_duplicates
from revela.corpus.shingles import shingles_of_texts
from revela.files import explain_full_disk
from revela.processes import cores, in_order
from revela.progress import track

SHINGLE_WORDS = 3
"""A chunk of 128 tokens has some 60 to 90 words, a document many hundreds. One word that differs spoils as
many shingles as a shingle has words: of 70 words, with runs of 3, two far apart leave a Jaccard similarity
of 0.84; with the 5 that suit documents, 0.74, so that a changed name and a changed date would hide a copy.
Runs of 1 or 2 are shared by code that has nothing else in common."""

_AT_ONCE = 8192  # chunks of one task: about 3 MB of text

_Bands = tuple[Path, int, int]  # file of uint64, bands, chunks
_Signing = tuple[ChunkStore, Signer, np.memmap]


def duplicate_of(
    store: ChunkStore, jaccard: float | None, scratch: Path, workers: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Which chunks are to be left out because an earlier one, which stays, has their text.

    Memory is some tens of bytes a chunk; signatures (8 bytes a band, 144 a chunk at 0.8) and the shingles
    of candidates lie in files below `scratch`, which are gone afterwards.

    Args:
        store: any of a :class:`ChunkStore`'s kind that can be pickled.
        jaccard: similarity of the sets of three-word runs from which on two chunks are near-identical;
            None looks for exact copies only.
        scratch: existing folder.
        workers: processes that sign; None uses one a core.

    Returns:
        exact: (n,) bool, copies of an earlier chunk, white space aside.
        near: (n,) bool, near-identical to an earlier chunk that is left out for neither reason.

    Raises:
        RevelaError: the disk is full, or a process was killed.
    """
    exact = np.ones(len(store), bool)
    exact[np.unique(store.key, return_index=True)[1]] = False
    if jaccard is None or not len(store):
        return exact, np.zeros(len(store), bool)

    def shingles_of(numbers: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        for start in range(0, len(numbers), _AT_ONCE):
            some = numbers[start : start + _AT_ONCE]
            yield from zip(some.tolist(), shingles_of_texts(store.texts(some), SHINGLE_WORDS), strict=True)

    with tempfile.TemporaryDirectory(prefix="signatures-", dir=scratch) as folder:
        bands = _sign(store, Signer(jaccard, SHINGLE_WORDS), Path(folder), workers or cores())
        earlier = find_near_duplicates(bands, ~exact, shingles_of, jaccard, scratch)
        del bands
    return exact, earlier >= 0


def _sign(store: ChunkStore, signer: Signer, folder: Path, workers: int) -> np.memmap:
    """(bands, n) uint64 in a file of `folder`."""
    file: _Bands = (folder / "bands", signer.bands, len(store))
    starts = range(0, len(store), _AT_ONCE)
    with explain_full_disk(folder):
        with open(file[0], "wb") as empty:
            empty.truncate(8 * signer.bands * len(store))
        signed = in_order(
            _sign_some, starts, min(workers, len(starts)), _open, (store, signer, file), "batches.workers"
        )
        with closing(signed):
            for _ in track(signed, "signing blocks of chunks", len(starts)):
                pass
    return _mapped(file, "r")


def _open(store: ChunkStore, signer: Signer, file: _Bands) -> _Signing:
    return store, signer, _mapped(file, "r+")


def _sign_some(signing: _Signing, start: int) -> None:
    store, signer, bands = signing
    numbers = np.arange(start, min(start + _AT_ONCE, len(store)))
    bands[:, numbers] = signer.sign(store.texts(numbers)).T


def _mapped(file: _Bands, mode: Literal["r", "r+"]) -> np.memmap:
    path, *shape = file
    return np.memmap(path, np.uint64, mode, shape=tuple(shape))

"""What can be said only over the whole corpus: double ids, duplicates, shares of sources."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from revela.corpus.near_duplicates import find_near_duplicates
from revela.corpus.parts import KEY_BYTES, PartCache, fixed_binary
from revela.corpus.shingles import shingle_hashes
from revela.corpus.worker import id_hash
from revela.progress import track
from revela.settings import NearDuplicateSettings

logger = logging.getLogger(__name__)

KEPT, EXACT_DUPLICATE, NEAR_DUPLICATE, SOURCE_WEIGHT = range(4)
REASONS = {
    EXACT_DUPLICATE: "exact_duplicate",
    NEAR_DUPLICATE: "near_duplicate",
    SOURCE_WEIGHT: "source_weight",
}


@dataclass
class Verdicts:
    """By number of the row, over all parts in order: about 60 bytes a row while they are found, 9 after.

    An id that is taken costs a few hundred bytes more.

    Attributes:
        offsets: number of the first row of every part, and the number of all rows.
        code: (n,) int8: :data:`KEPT` or why a row that its part kept is dropped after all.
        original: (n,) int64: for duplicates, the row that stands for them; else -1.
        names: new id by row, where the id was taken by an earlier row.
        fractions: share of its characters that every source keeps, by number of the source; None
            without weights.
    """

    offsets: np.ndarray
    code: np.ndarray
    original: np.ndarray
    names: dict[int, str]
    fractions: list[float] | None

    def of_part(self, number: int) -> slice:
        """Rows of a part."""
        return slice(int(self.offsets[number]), int(self.offsets[number + 1]))


def find_verdicts(
    cache: PartCache,
    parts: Sequence[str],
    part_sources: Sequence[int],
    weights: Sequence[float] | None,
    drop_exact: bool,
    near: NearDuplicateSettings | None,
    scratch: Path,
) -> Verdicts:
    """Go over the keys of all parts, in order.

    Of texts with the same words the first is kept. Of near-duplicates the first is kept, too. Sources with
    weights are thinned, by a hash of the id, until their shares of the characters are as the weights
    say; the scarcest one is kept whole.

    Args:
        cache: where the parts are.
        parts: their digests, in the order of the corpus.
        part_sources: number of every part's source.
        weights: one a source, or None.
        drop_exact: whether exact duplicates are looked for.
        near: how near-duplicates are looked for; None: not at all.
        scratch: a folder for temporary files.
    """
    columns = _read_columns(cache, parts)
    offsets = np.concatenate([[0], np.cumsum([len(hashes) for hashes in columns["id_hash"]])]).astype(
        np.int64
    )
    rows = int(offsets[-1])
    alive = np.concatenate(columns["alive"]) if rows else np.zeros(0, bool)
    present = ~np.concatenate(columns["malformed"]) if rows else np.zeros(0, bool)
    code, original = np.zeros(rows, np.int8), np.full(rows, -1, np.int64)
    verdicts = Verdicts(offsets, code, original, {}, None)
    if rows == 0:
        return verdicts
    verdicts.names = _new_names(np.concatenate(columns["id_hash"]), present, verdicts, cache, parts)
    if drop_exact:
        _mark_exact(np.concatenate(columns["key"]), alive, code, original)
    if near is not None:
        _mark_near(cache, parts, verdicts, alive & (code == KEPT), near, scratch)
    if weights is not None:
        source_of_row = np.repeat(np.asarray(part_sources), np.diff(offsets))
        verdicts.fractions = _mark_weights(
            np.concatenate(columns["characters"]),
            np.concatenate(columns["id_hash"]),
            source_of_row,
            alive & (code == KEPT),
            weights,
            code,
        )
    return verdicts


def _read_columns(cache: PartCache, parts: Sequence[str]) -> dict[str, list[np.ndarray]]:
    names = ["id_hash", "key", "reason", "characters", "malformed"]
    columns: dict[str, list[np.ndarray]] = {name: [] for name in (*names, "alive")}
    for digest in track(parts, "reading keys of parts"):
        table = cache.read(digest, names)
        columns["id_hash"].append(table["id_hash"].to_numpy())
        columns["characters"].append(table["characters"].to_numpy())
        columns["malformed"].append(table["malformed"].to_numpy())
        columns["alive"].append(pc.equal(table["reason"], "").to_numpy())
        columns["key"].append(fixed_binary(table["key"], KEY_BYTES))
    return columns


def _new_names(
    hashes: np.ndarray, present: np.ndarray, verdicts: Verdicts, cache: PartCache, parts: Sequence[str]
) -> dict[int, str]:
    """``id~2``, ``id~3``, … for the second and later rows of an id; no new name is one that exists."""
    order = np.flatnonzero(present)
    order = order[np.argsort(hashes[order], kind="stable")]
    again = order[1:][hashes[order[1:]] == hashes[order[:-1]]]
    again.sort()
    taken = hashes[order]  # sorted
    new: set[str] = set()
    names: dict[int, str] = {}
    last: dict[str, int] = {}
    for row, document_id in _ids(again, verdicts, cache, parts):
        number = last.get(document_id, 1) + 1
        while (name := f"{document_id}~{number}") in new or _contains(taken, id_hash(name)):
            number += 1
        last[document_id] = number
        new.add(name)
        names[row] = name
    return names


def _contains(ordered: np.ndarray, value: int) -> bool:
    place = int(np.searchsorted(ordered, np.uint64(value)))
    return place < len(ordered) and int(ordered[place]) == value


def _ids(
    rows: np.ndarray, verdicts: Verdicts, cache: PartCache, parts: Sequence[str]
) -> Iterator[tuple[int, str]]:
    for number, local in _by_part(rows, verdicts.offsets):
        ids = cache.read(parts[number], ["id"])["id"].take(local).to_pylist()
        yield from zip((local + verdicts.offsets[number]).tolist(), ids, strict=True)


def _by_part(rows: np.ndarray, offsets: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """(number of the part, rows counted within it) for ascending row numbers."""
    part = np.searchsorted(offsets, rows, side="right") - 1
    edges = np.flatnonzero(np.diff(part)) + 1
    for of_part in np.split(rows, edges):
        if len(of_part):
            number = int(np.searchsorted(offsets, of_part[0], side="right")) - 1
            yield number, of_part - offsets[number]


def _mark_exact(keys: np.ndarray, alive: np.ndarray, code: np.ndarray, original: np.ndarray) -> None:
    rows = np.flatnonzero(alive)
    # Stable, so that of equal keys the first row comes first.
    rows = rows[np.lexsort((keys[rows, 1], keys[rows, 0]))]
    same = np.all(keys[rows[1:]] == keys[rows[:-1]], axis=1)
    starts = np.flatnonzero(np.concatenate([[True], ~same])) if len(rows) else np.zeros(0, np.int64)
    first = np.repeat(rows[starts], np.diff(np.append(starts, len(rows))))
    copies = rows != first
    code[rows[copies]] = EXACT_DUPLICATE
    original[rows[copies]] = first[copies]


def _mark_near(
    cache: PartCache,
    parts: Sequence[str],
    verdicts: Verdicts,
    eligible: np.ndarray,
    settings: NearDuplicateSettings,
    scratch: Path,
) -> None:
    bands = _gather_bands(cache, parts, verdicts.offsets, scratch / "bands.npy")

    def shingles_of(rows: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        groups = list(_by_part(rows, verdicts.offsets))
        for number, local in track(groups, "comparing near-duplicates"):
            texts = cache.read(parts[number], ["text"])["text"].take(local).to_pylist()
            for row, text in zip((local + verdicts.offsets[number]).tolist(), texts, strict=True):
                yield row, shingle_hashes(text, settings.shingle_words)

    found = find_near_duplicates(bands, eligible, shingles_of, settings.jaccard, scratch)
    copies = found >= 0
    verdicts.code[copies] = NEAR_DUPLICATE
    verdicts.original[copies] = found[copies]


def _gather_bands(cache: PartCache, parts: Sequence[str], offsets: np.ndarray, path: Path) -> np.ndarray:
    """All bands as (bands, n) uint64 on disk: they are looked at one band at a time."""
    bands: np.ndarray | None = None
    for number, digest in enumerate(parts):
        column = cache.read(digest, ["bands"])["bands"]
        of_part = fixed_binary(column, column.type.byte_width)
        if bands is None:
            shape = (of_part.shape[1], int(offsets[-1]))
            bands = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint64, shape=shape)
        bands[:, offsets[number] : offsets[number + 1]] = of_part.T
    assert bands is not None
    return bands


def _mark_weights(
    characters: np.ndarray,
    hashes: np.ndarray,
    source_of_row: np.ndarray,
    alive: np.ndarray,
    weights: Sequence[float],
    code: np.ndarray,
) -> list[float]:
    have = np.bincount(source_of_row[alive], characters[alive], len(weights))
    wanted = np.asarray(weights, float)
    for number in np.flatnonzero((have == 0) & (wanted > 0)):
        logger.warning(
            "corpus: nothing is left of sources.%d, so its weight of %g counts for nothing",
            number,
            wanted[number],
        )
    # The source that has least of what its weight asks for decides how large the mixture can be.
    full = have > 0
    scale = (have[full] / wanted[full]).min() if full.any() else 0.0
    fractions = np.ones(len(weights))
    fractions[full] = wanted[full] * scale / have[full]
    drawn = hashes / 2.0**64 < fractions[source_of_row]
    code[alive & ~drawn] = SOURCE_WEIGHT
    return [float(fraction) for fraction in fractions]

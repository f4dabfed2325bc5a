"""Vectors of texts that were encoded before, on disk. Safe to delete at any time."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

log = logging.getLogger(__name__)

LIMIT_BYTES = 2 << 30
"""What the cache takes of the disk at most: a million vectors of 512 dimensions."""

_DIGEST_BYTES = 16


class VectorCache:
    """Unit vectors under a key, which stands for all but the text that decides them.

    A file holds the vectors of the texts that were encoded together. Above the limit those go that were not
    read for longest. Several processes may share a folder: a file is whole or absent.

    Args:
        folder: made when there is something to keep.
        limit_bytes: of all files together.
    """

    def __init__(self, folder: Path, limit_bytes: int = LIMIT_BYTES) -> None:
        self._folder = Path(folder)
        self._limit = limit_bytes

    def read(self, key: str, texts: Sequence[str]) -> dict[int, np.ndarray]:
        """Index of a text -> its (D,) float32, of those that are known."""
        places: dict[bytes, list[int]] = {}
        for index, text in enumerate(texts):
            places.setdefault(_digest(text), []).append(index)
        found: dict[int, np.ndarray] = {}
        for file in sorted((self._folder / key).glob("*.safetensors")):
            try:
                held = load_file(file)
                digests, vectors = held["digests"], held["vectors"]
                os.utime(file)
            except (OSError, SafetensorError, KeyError) as fault:
                log.warning("%s: cannot be read and is removed (%s)", file, fault)
                file.unlink(missing_ok=True)
                continue
            for row, digest in enumerate(digests):
                for index in places.get(digest.tobytes(), ()):
                    found[index] = vectors[row]
        return found

    def write(self, key: str, texts: Sequence[str], vectors: np.ndarray) -> None:
        """Keep (texts, D) float32 vectors. A disk that is full is no fault: nothing is kept then."""
        digests = [_digest(text) for text in texts]
        name = hashlib.blake2b(b"".join(digests), digest_size=_DIGEST_BYTES).hexdigest()
        target = self._folder / key / f"{name}.safetensors"
        partial = target.with_name(f".{name}.partial-{os.getpid()}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            table = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, _DIGEST_BYTES)
            save_file({"digests": table, "vectors": np.ascontiguousarray(vectors)}, partial)
            partial.replace(target)
        except (OSError, SafetensorError) as fault:
            log.warning("%s: vectors are not kept (%s)", target, fault)
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
        self._keep_within_limit()

    def _keep_within_limit(self) -> None:
        files = []
        for file in self._folder.glob("*/*"):
            with contextlib.suppress(OSError):  # another process may have removed it
                state = file.stat()
                files.append((state.st_mtime_ns, state.st_size, file))
        total = sum(size for _, size, _ in files)
        for _, size, file in sorted(files):
            if total <= self._limit:
                return
            file.unlink(missing_ok=True)
            total -= size


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES).digest()

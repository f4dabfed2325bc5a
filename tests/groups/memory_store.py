"""A chunk store in memory, for tests that begin with chunks."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from types import ModuleType

import numpy as np

from revela.chunks.chunk import Chunk


class MemoryStore:
    """What the strategies use of :class:`revela.chunks.store.ChunkStore`.

    Args:
        documents: chunks of one document each.
    """

    def __init__(self, documents: list[list[Chunk]]) -> None:
        self._chunks = [chunk for chunks in documents for chunk in chunks]
        self.sources = list(dict.fromkeys(chunk.source for chunk in self._chunks))
        self.document = np.repeat(
            np.arange(len(documents), dtype=np.int32), [len(each) for each in documents]
        )
        self.source = np.array([self.sources.index(chunk.source) for chunk in self._chunks], np.int16)
        self.tokens = np.array([chunk.tokens for chunk in self._chunks], np.int32)

    def __len__(self) -> int:
        return len(self._chunks)

    @property
    def members(self) -> np.ndarray:
        return np.arange(len(self))

    def chunks(self, numbers: np.ndarray) -> list[Chunk]:
        return [self._chunks[number] for number in numbers]

    def texts(self, numbers: np.ndarray) -> list[str]:
        return [self._chunks[number].text for number in numbers]

    def document_ids(self, numbers: np.ndarray) -> list[str]:
        return [self._chunks[number].document_id for number in numbers]

    def iter_texts(self, numbers: np.ndarray, batch: int) -> Iterator[list[str]]:
        rest = iter(numbers)
        while some := list(islice(rest, batch)):
            yield self.texts(np.array(some))


def chunk(name: str, number: int, text: str, source: str = "folder:a") -> Chunk:
    """A chunk of document `name`; of its fields only these matter to a strategy."""
    values = {
        "chunk_id": f"{name}#{number}",
        "document_id": name,
        "title": "",
        "source": source,
        "kind": "text",
        "text": text,
        "query_end": 1,
        "tokens": len(text.split()),
        "start": number,
        "end": number + 1,
        "start_byte": number,
        "end_byte": number + 1,
    }
    known = inspect.signature(Chunk).parameters
    return Chunk(**{name: value for name, value in values.items() if name in known})


def document(name: str, texts: list[str], source: str = "folder:a") -> list[Chunk]:
    return [chunk(name, number, text, source) for number, text in enumerate(texts)]


def numbered(name: str, count: int, source: str = "folder:a") -> list[Chunk]:
    """Chunks without a word in common with those of another name."""
    return document(name, [f"{name} {name}{chr(97 + number % 26) * 3}" for number in range(count)], source)


def module_chunks(module: ModuleType, lines: int = 12, source: str = "folder:modules") -> list[Chunk]:
    """A module's source in stretches of so many lines, the last, shorter one left out."""
    text = Path(module.__file__).read_text(encoding="utf-8").splitlines()
    texts = ["\n".join(text[start : start + lines]) for start in range(0, len(text) - lines + 1, lines)]
    return document(module.__name__, [each for each in texts if len(each.split()) > 5], source)

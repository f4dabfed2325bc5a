"""Chunks of a corpus on disk: what was cut, whoever cut it, and read back by number."""

from __future__ import annotations

import argparse
import email.message
import statistics
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from revela.chunks import files, writer
from revela.chunks.chunking import Chunker
from revela.chunks.store import ChunkStore
from revela.chunks.writer import write_chunks
from revela.corpus import shards
from revela.corpus.schema import DOCUMENT_SCHEMA, Document
from revela.corpus.shards import ShardWriter
from revela.corpus.text_key import text_key
from revela.errors import RevelaError
from revela.files import sha256_tree
from revela.settings import BatchesSettings

SETTINGS = BatchesSettings(chunk_tokens=64, min_chunk_tokens=8, overlap_tokens=8, titles=True, workers=1)


def corpus() -> list[Document]:
    """Three modules, two texts beyond ASCII, one that gives no chunk; two sources."""
    documents = [
        Document(f"{m.__name__}.py", m.__name__, Path(m.__file__).read_text(), "folder:py", "python")
        for m in (argparse, email.message, statistics)
    ]
    texts = ["日本語のテキスト、🦜と。" * 60, "Ein Satz über Öl. Noch einer?\n" * 60, "a"]
    return documents + [Document(f"{n}.md", "Ü", text, "b", "markdown") for n, text in enumerate(texts)]


@pytest.fixture
def documents_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The corpus in several shards of several row groups, to be cut into several blocks each."""
    monkeypatch.setattr(shards, "ROW_GROUP_CHARACTERS", 60_000)
    monkeypatch.setattr(shards, "SHARD_CHARACTERS", 100_000)
    folder = tmp_path / "documents"
    folder.mkdir()
    with ShardWriter(folder, "documents", DOCUMENT_SCHEMA) as writer:
        for document in corpus():
            writer.write(asdict(document), len(document.text))
    assert len(list(folder.iterdir())) > 1
    return folder


@pytest.fixture
def write(documents_dir: Path, tokenizer_dir: Path, tmp_path: Path) -> Callable[..., ChunkStore]:
    def write(folder: str = "store", **settings: object) -> ChunkStore:
        return write_chunks(
            SETTINGS.model_copy(update=settings), documents_dir, tokenizer_dir, tmp_path / folder
        )

    return write


def test_the_store_holds_what_a_chunker_gives_in_the_order_of_documents(
    write: Callable[..., ChunkStore], tokenizer: Tokenizer
) -> None:
    store = write()
    chunker = Chunker(tokenizer, 64, 8, SETTINGS.query_ratio, overlap_tokens=8, titles=True)
    wanted = [(number, chunk) for number, (_, of) in enumerate(chunker.chunks(corpus())) for chunk in of]
    everything = np.arange(len(store))
    assert store.chunks(everything) == [chunk for _, chunk in wanted]
    assert store.document.tolist() == [number for number, _ in wanted]
    assert store.tokens.tolist() == [chunk.tokens for _, chunk in wanted]
    assert [store.sources[code] for code in store.source] == [chunk.source for _, chunk in wanted]
    assert store.sources == ["folder:py", "b"]
    assert store.documents == 6
    assert store.dropped == chunker.dropped and chunker.dropped["short_chunk"] > 0
    by_key = {int(key): text_key(chunk.text) for key, (_, chunk) in zip(store.key, wanted, strict=True)}
    assert len(set(by_key.values())) == len(by_key) == len({text_key(chunk.text) for _, chunk in wanted})


def test_rows_come_in_the_order_asked_for(write: Callable[..., ChunkStore]) -> None:
    store = write()
    everything = store.chunks(np.arange(len(store)))
    numbers = np.random.default_rng(0).permutation(len(store))
    numbers = np.concatenate([numbers, numbers[:5]])
    assert store.chunks(numbers) == [everything[number] for number in numbers]
    assert store.texts(numbers) == [everything[number].text for number in numbers]
    assert store.document_ids(numbers) == [everything[number].document_id for number in numbers]
    batches = list(store.iter_texts(numbers, 7))
    assert [len(batch) for batch in batches[:-1]] == [7] * (len(batches) - 1)
    assert [text for batch in batches for text in batch] == store.texts(numbers)
    assert store.chunks(np.array([], np.int64)) == []


def test_byte_ranges_lead_back_to_the_documents(write: Callable[..., ChunkStore]) -> None:
    texts = {document.id: document.text.encode() for document in corpus()}
    store = write()
    for chunk in store.chunks(np.arange(len(store))):
        document_id, _, place = chunk.chunk_id.rpartition("#")
        start, end = map(int, place.split("-"))
        assert texts[document_id][start:end].decode() == chunk.text


def test_several_processes_give_the_same_files_as_one(
    write: Callable[..., ChunkStore], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_BLOCK_BYTES", 20_000)
    write("one", workers=1)
    write("two", workers=2)
    assert sha256_tree(tmp_path / "one") == sha256_tree(tmp_path / "two")
    assert {path.suffix for path in (tmp_path / "two").iterdir()} == {".arrow"}
    assert not list((tmp_path / "two").glob("block-*"))


def test_what_is_chunked_already_is_used_again(
    write: Callable[..., ChunkStore], monkeypatch: pytest.MonkeyPatch, documents_dir: Path
) -> None:
    done: list[files.Block] = []
    real = writer.write_block

    def stops(block: files.Block, chunker: Chunker) -> None:
        if len(done) == 2:
            raise KeyboardInterrupt
        real(block, chunker)
        done.append(block)

    monkeypatch.setattr(writer, "write_block", stops)
    with pytest.raises(KeyboardInterrupt):
        write()
    seen = []
    monkeypatch.setattr(
        writer, "write_block", lambda block, chunker: (seen.append(block), real(block, chunker))
    )
    store = write()
    assert done and not {block.path for block in done} & {block.path for block in seen}
    assert store.chunks(np.arange(len(store))) == write("fresh").chunks(np.arange(len(store)))
    seen.clear()
    write()
    assert seen == []
    write(chunk_tokens=48)
    assert seen, "other settings, other chunks"


def test_what_a_killed_search_for_duplicates_left_is_removed(
    write: Callable[..., ChunkStore], tmp_path: Path
) -> None:
    write()
    left = tmp_path / "store" / "near-duplicates-x1y2"
    left.mkdir()
    (left / "pairs.npy").write_bytes(b"half")
    before = len(write())
    assert before and not left.exists()


def test_an_error_in_a_process_comes_back_with_its_place(
    write: Callable[..., ChunkStore], documents_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = sorted(documents_dir.iterdir())[-1]
    content = bytearray(shard.read_bytes())
    content[4:200] = b"\xff" * 196  # the first page; the footer stays whole
    shard.write_bytes(content)
    monkeypatch.setattr(writer, "write_documents", lambda shard, target: target.touch())
    with pytest.raises(OSError) as caught:
        write(workers=2)
    assert any(str(shard) in note for note in caught.value.__notes__)


def test_a_folder_without_chunks_is_named(tmp_path: Path) -> None:
    with pytest.raises(RevelaError, match=r"no chunks-\*\.arrow"):
        ChunkStore(tmp_path)

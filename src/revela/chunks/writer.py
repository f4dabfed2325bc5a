"""Chunk a corpus in several processes into the files of a :class:`~revela.chunks.store.ChunkStore`."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

from revela.chunks.chunking import Chunker
from revela.chunks.files import (
    Block,
    blocks_of,
    join_blocks,
    make_chunker,
    settings_mark,
    shard_mark,
    shards_of,
    write_block,
    write_documents,
)
from revela.chunks.store import ChunkStore
from revela.chunks.tokenizer import check_room, load_tokenizer
from revela.files import explain_full_disk
from revela.processes import cores, in_order
from revela.progress import track
from revela.settings import BatchesSettings


def write_chunks(
    settings: BatchesSettings, documents_dir: Path, tokenizer_dir: Path, folder: Path
) -> ChunkStore:
    """Cut all documents into chunks, in their order, the same whatever the number of processes.

    What an interrupted call left in `folder` is used again where documents, settings, tokenizer and code
    are unchanged; anything else there is removed. Memory holds a few megabytes of text a process.

    Args:
        settings: section `batches`; `workers` processes, or one a core.
        documents_dir: what ``filter_corpus`` wrote.
        tokenizer_dir: the retriever's folder.
        folder: the store's own, for as long as it is used; about the size of the documents' text.

    Raises:
        RevelaError: no corpus, no tokenizer, chunks that the retriever would cut, a full disk, a process
            that was killed.
    """
    check_room(tokenizer_dir, load_tokenizer(tokenizer_dir), settings.chunk_tokens)
    mark = settings_mark(settings, tokenizer_dir)
    folder.mkdir(parents=True, exist_ok=True)
    names = [
        f"{number:05d}-{shard_mark(shard, mark)}" for number, shard in enumerate(shards_of(documents_dir))
    ]
    _remove_others(folder, names)
    with explain_full_disk(folder):
        todo: list[tuple[list[Block], Path]] = []
        for name, shard in zip(names, shards_of(documents_dir), strict=True):
            if (target := folder / f"chunks-{name}.arrow").is_file():
                continue
            write_documents(shard, folder / f"documents-{name}.arrow")
            todo.append((blocks_of(shard, name, folder), target))
        missing = [block for blocks, _ in todo for block in blocks if not block.path.is_file()]
        awaited = frozenset(missing)
        workers = min(settings.workers or cores(), len(missing))
        working = in_order(
            _write, missing, workers, make_chunker, (settings, tokenizer_dir), "batches.workers"
        )
        with closing(working):
            done = track(working, "chunking blocks of documents", len(missing))
            for blocks, target in todo:
                for block in blocks:
                    if block in awaited:
                        next(done)
                join_blocks([block.path for block in blocks], target)
            next(done, None)  # lets it report the end
    return ChunkStore(folder)


def _remove_others(folder: Path, names: list[str]) -> None:
    for path in folder.glob("*-*"):
        if path.suffix == ".partial" or not any(name in path.name for name in names):
            # Folders are what a search for duplicates left when it was killed.
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _write(chunker: Chunker, block: Block) -> None:
    write_block(block, chunker)

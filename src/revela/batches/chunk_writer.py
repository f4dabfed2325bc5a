"""Chunk a corpus in several processes into the files of a :class:`~revela.batches.chunk_store.ChunkStore`."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from multiprocessing import connection
from pathlib import Path

from revela.batches.chunk_files import (
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
from revela.batches.chunk_store import ChunkStore
from revela.batches.chunking import Chunker
from revela.batches.tokenizer import check_room, load_tokenizer
from revela.errors import RevelaError
from revela.files import explain_full_disk
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
        with closing(_worked(missing, settings, tokenizer_dir)) as working:
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
            path.unlink()


def _worked(blocks: list[Block], settings: BatchesSettings, tokenizer_dir: Path) -> Iterator[Block]:
    """Write the blocks' files; each is yielded when it and all before it are written."""
    workers = min(settings.workers or len(os.sched_getaffinity(0)), len(blocks))
    if workers <= 1:
        chunker = make_chunker(settings, tokenizer_dir)
        for block in blocks:
            write_block(block, chunker)
            yield block
        return
    # Spawned, not forked: this process may have threads, and a fork would copy their locks held.
    pool = ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), _prepare_process, (settings, tokenizer_dir)
    )
    try:
        yield from _in_order(pool, blocks, ahead=2 * workers)
    except BaseException:
        processes = list(pool._processes.values())
        pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()
        raise
    pool.shutdown()


def _in_order(pool: ProcessPoolExecutor, blocks: list[Block], ahead: int) -> Iterator[Block]:
    """Submit only a few blocks ahead, so that an error is noticed before all the others are done."""
    running: deque[tuple[Block, Future[None]]] = deque()
    waiting = iter(blocks)
    while True:
        while len(running) < ahead and (block := next(waiting, None)) is not None:
            running.append((block, pool.submit(_work, block)))
        if not running:
            return
        block, future = running.popleft()
        try:
            future.result()
        except BrokenProcessPool as fault:
            raise RevelaError(
                "batches: a process that cuts chunks was killed, as the system does when memory runs out. "
                "Run again with fewer batches.workers; what is chunked already is used again."
            ) from fault
        except Exception as fault:
            fault.add_note(
                f"while chunking rows {block.first} to {block.last} of row group "
                f"{block.row_group} of {block.shard}"
            )
            raise
        yield block


_chunker: Chunker | None = None
"""A worker process's own, made once."""


def _prepare_process(settings: BatchesSettings, tokenizer_dir: Path) -> None:
    global _chunker
    # The first process ends the others; and this one does not outlive it, however it ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # One core a process: the tokenizers' own threads would compete for them.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    _chunker = make_chunker(settings, tokenizer_dir)


def _end_with_parent() -> None:
    connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def _work(block: Block) -> None:
    write_block(block, _chunker)

"""Time, memory and quality of topic batches as the number of chunks grows; see bench/README.md.

Run it in the root of the clone: ``python -m bench.topic_batches``.
"""

from __future__ import annotations

import gzip
import json
import logging
import multiprocessing
import sysconfig
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from scipy import sparse

from bench.machine import describe_machine, machine_line
from bench.measure import growth_exponent, peak_memory
from revela.files import atomic_write_text, write_json
from revela.groups import related_groups
from revela.groups.relatedness import Bm25, evenly_spaced, mean_pairwise, random_groups
from revela.groups.word_counts import count_words

log = logging.getLogger("bench")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

NAME = "topic_batches"
WORDS_A_CHUNK = 70
CHUNKS_A_DOCUMENT = 8
GROUP_SIZE, OF_DOCUMENT = 16, 4
EXTRAPOLATED = 1_000_000
_STEPS = ("counting", "projecting", "clustering", "grouping")
_TEXTS_AT_ONCE = 2048
_CPU = torch.device("cpu")

Row = dict[str, Any]


def real_documents(corpus: Path | None) -> list[list[str]]:
    """Every document as its lines that are not blank; without a corpus, the standard library's modules.

    Args:
        corpus: JSONL, also .gz, with the text in the field ``text``.
    """
    if corpus is None:
        files = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
        texts = [file.read_text(encoding="utf-8", errors="replace") for file in files]
    else:
        opener = gzip.open if corpus.suffix == ".gz" else open
        with opener(corpus, "rt", encoding="utf-8") as lines:
            texts = [json.loads(line)["text"] for line in lines]
    documents = [[line for line in text.splitlines() if line.strip()] for text in texts]
    return [lines for lines in documents if sum(len(line.split()) for line in lines) >= WORDS_A_CHUNK]


def make_chunks(documents: list[list[str]], count: int, seed: int = 0) -> tuple[list[str], np.ndarray]:
    """`count` chunks of about 70 words, eight a document, and the number of each one's document.

    While there is enough text, chunks are the documents' own, in order. Beyond that new documents are made:
    each keeps the subject of one real document by drawing half of its lines from it, and the others from
    two more. Every line is real, the mixture is new.
    """
    generator = np.random.default_rng(seed)
    chunks: list[str] = []
    numbers: list[int] = []
    for number, lines in enumerate(_streams(documents, generator)):
        for text in _cut(lines, CHUNKS_A_DOCUMENT):
            chunks.append(text)
            numbers.append(number)
        if len(chunks) >= count:
            break
    return chunks[:count], np.array(numbers[:count])


def _streams(documents: list[list[str]], generator: np.random.Generator) -> Iterator[list[str]]:
    yield from documents
    needed = WORDS_A_CHUNK * CHUNKS_A_DOCUMENT
    while True:
        own, *others = (documents[index] for index in generator.integers(len(documents), size=3))
        lines: list[str] = []
        words = 0
        while words < needed:
            source = own if generator.random() < 0.5 else others[int(generator.integers(2))]
            lines.append(source[int(generator.integers(len(source)))])
            words += len(lines[-1].split())
        yield lines


def _cut(lines: list[str], most: int) -> Iterator[str]:
    words = [word for line in lines for word in [*line.split(), "\n"]]
    for start in range(0, min(len(words) - WORDS_A_CHUNK + 1, most * WORDS_A_CHUNK), WORDS_A_CHUNK):
        yield " ".join(words[start : start + WORDS_A_CHUNK])


def measure(documents: list[list[str]], count: int, exact: bool) -> Row:
    """Every step on `count` chunks, in this process.

    Args:
        exact: also group by all similarities at once, which is what leaves are measured against.
    """
    chunks, numbers = make_chunks(documents, count)
    timed: dict[str, float] = dict.fromkeys(_STEPS, 0.0)
    with peak_memory(_CPU) as peak:
        start = time.perf_counter()
        counts = count_words(
            chunks[first : first + _TEXTS_AT_ONCE] for first in range(0, len(chunks), _TEXTS_AT_ONCE)
        )
        timed["counting"] = time.perf_counter() - start
        with _timing(timed):
            start = time.perf_counter()
            groups, left = _group(counts, numbers)
            timed["grouping"] = time.perf_counter() - start - timed["projecting"] - timed["clustering"]
    bm25 = Bm25.of(counts[evenly_spaced(np.arange(count))])
    row: Row = {
        "chunks": count,
        "documents": int(numbers[-1]) + 1,
        "seconds": {name: round(value, 3) for name, value in timed.items()},
        "total_s": round(sum(timed.values()), 3),
        "peak_mb": round(peak.bytes / 1e6, 1),
        "groups": len(groups),
        "no_relatives": int(left.sum()),
        "relatedness": _mean(counts, bm25, groups),
        "random": _mean(counts, bm25, random_groups(np.arange(count), GROUP_SIZE, len(groups), 0)),
    }
    if exact:
        leaf, related_groups.LEAF = related_groups.LEAF, count
        row["exact"] = _mean(counts, bm25, _group(counts, numbers)[0])
        related_groups.LEAF = leaf
    return row


@contextmanager
def _timing(seconds: dict[str, float]) -> Iterator[None]:
    """Let `related_groups` tell how long its first two steps take."""
    steps = {"projecting": "project", "clustering": "balanced_leaves"}
    plain = {name: getattr(related_groups, name) for name in steps.values()}

    def timed(step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            start = time.perf_counter()
            result = function(*arguments)
            seconds[step] += time.perf_counter() - start
            return result

        return call

    for step, name in steps.items():
        setattr(related_groups, name, timed(step, plain[name]))
    try:
        yield
    finally:
        for name, function in plain.items():
            setattr(related_groups, name, function)


def _group(counts: sparse.csr_matrix, documents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return related_groups.related_groups(
        counts,
        np.ones(counts.shape[0], np.int64),
        documents,
        GROUP_SIZE,
        OF_DOCUMENT,
        above_chance=True,
        seed=0,
        description="grouping",
    )


def _mean(counts: sparse.csr_matrix, bm25: Bm25, groups: np.ndarray) -> float:
    parts = [
        mean_pairwise(bm25.vectors(counts[groups[start : start + 1024].ravel()]), GROUP_SIZE)
        for start in range(0, len(groups), 1024)
    ]
    return round(float(np.concatenate(parts).mean()), 4)


def growth(rows: list[Row]) -> dict[str, Any]:
    """Exponents over all sizes, and what the line through them says about a million chunks.

    Time and memory are extended from the largest size measured, with the exponent, or 1 where it is less:
    fixed costs of small sizes would make the growth look better than it is.
    """
    last, sizes = rows[-1], [row["chunks"] for row in rows]
    result: dict[str, Any] = {}
    for key in ("total_s", "peak_mb"):
        power = round(growth_exponent(sizes, [row[key] for row in rows]), 3)
        factor = (EXTRAPOLATED / last["chunks"]) ** max(power, 1.0)
        result[key] = {"exponent": power, "extrapolated": round(last[key] * factor, 1)}
    result["steps"] = {
        step: round(growth_exponent(sizes, [max(row["seconds"][step], 1e-3) for row in rows]), 3)
        for step in _STEPS
    }
    return result


def markdown(rows: list[Row], run: dict[str, Any]) -> str:
    """The result as a table, the machine named."""
    header = ["chunks", "documents", *(f"{step}, s" for step in _STEPS), "all, s", "peak, MB"]
    header += ["groups", "without relatives", "relatedness", "random", "over random", "over exact"]
    lines = [header, ["---"] * len(header)]
    for row in rows:
        lines.append(
            [str(row["chunks"]), str(row["documents"])]
            + [f"{row['seconds'][step]:.1f}" for step in _STEPS]
            + [f"{row['total_s']:.1f}", f"{row['peak_mb']:.0f}", str(row["groups"])]
            + [
                f"{row['no_relatives'] / row['chunks']:.1%}",
                f"{row['relatedness']:.4f}",
                f"{row['random']:.4f}",
            ]
            + [f"{row['relatedness'] / row['random']:.2f}"]
            + [f"{row['relatedness'] / row['exact']:.3f}" if "exact" in row else ""]
        )
    grown = run["growth"]
    parts = [
        "# Topic batches: time, memory and quality as chunks grow",
        f"Text: {run['corpus']}; chunks of {WORDS_A_CHUNK} words, {CHUNKS_A_DOCUMENT} a document at most; "
        f"groups of {GROUP_SIZE}, {OF_DOCUMENT} of a document at most; one process, one thread. "
        f"Machine: {machine_line(run['machine'])}. Written by `python -m bench.topic_batches`; "
        "how to read it: [README](../README.md).",
        "\n".join(f"| {' | '.join(cells)} |" for cells in lines),
    ]
    if grown:
        parts += [
            f"Growth: time ~ n^{grown['total_s']['exponent']:.2f}, "
            f"memory ~ n^{grown['peak_mb']['exponent']:.2f}. **Extrapolated, not measured**, to "
            f"{EXTRAPOLATED} chunks with these exponents (1 where they are less) from the "
            f"largest size: {grown['total_s']['extrapolated'] / 60:.1f} minutes, "
            f"{grown['peak_mb']['extrapolated'] / 1000:.1f} GB."
        ]
    return "\n\n".join(parts) + "\n"


def _measure_apart(documents: list[list[str]], count: int, exact: bool) -> Row:
    """In a process of its own, so that no size inherits another's memory."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, (documents, count, exact))


@app.command()
def main(
    sizes: Annotated[
        str, typer.Option(help="Numbers of chunks, separated by commas.")
    ] = "10000,30000,100000",
    corpus: Annotated[Path | None, typer.Option(help="JSONL(.gz) with a field `text`.")] = None,
    exact_up_to: Annotated[int, typer.Option(help="Compare with all similarities up to this size.")] = 10_000,
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path(__file__).parent / "results",
) -> None:
    """Measure topic batches on growing multiples of real text."""
    documents = real_documents(corpus)
    rows: list[Row] = []
    for count in sorted({int(size) for size in sizes.split(",")}):
        log.info("%d chunks", count)
        rows.append(_measure_apart(documents, count, count <= exact_up_to))
        log.info("%s", rows[-1])
    run = {
        "corpus": "the standard library" if corpus is None else corpus.name,
        "machine": describe_machine(_CPU, torch.float32),
        "growth": growth(rows) if len(rows) > 1 else {},
    }
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / f"{NAME}.json", {**run, "rows": rows})
    atomic_write_text(out / f"{NAME}.md", markdown(rows, run))
    log.info("results in %s", out)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    log.setLevel(logging.INFO)
    app()

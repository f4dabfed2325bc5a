"""Near-duplicate search against datasketch's plain use, and its growth with the number of texts.

``python -m bench.near_duplicates [corpus.jsonl.gz]`` compares; ``--growth 10000,30000,100000`` grows.
Every measurement is taken in a process of its own.
"""

from __future__ import annotations

import argparse
import gzip
import json
import multiprocessing
import random
import re
import statistics
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.measure import growth_exponent, peak_memory
from revela.corpus.minhash import Signer
from revela.corpus.near_duplicates import find_near_duplicates, near_duplicate_texts
from revela.corpus.shingles import shingles_of_texts
from revela.files import write_json

JACCARD, SHINGLE_WORDS, PERMUTATIONS = 0.8, 5, 128
_BLOCK = 2000

# What an implementation says: for every text the earlier ones that it was dropped for.
Verdicts = list[list[int]]


def ours(texts: list[str]) -> Verdicts:
    found = near_duplicate_texts(texts, JACCARD, SHINGLE_WORDS)
    return [[number] if number >= 0 else [] for number in found.tolist()]


def datasketch_update(texts: list[str]) -> Verdicts:
    """As its documentation shows it: one call of `update` a shingle."""

    def fill(minhash: Any, shingles: set[str]) -> None:
        for shingle in shingles:
            minhash.update(shingle.encode())

    return _datasketch(texts, fill)


def datasketch_batch(texts: list[str]) -> Verdicts:
    """The same with one call of `update_batch` a text."""
    return _datasketch(
        texts, lambda minhash, shingles: minhash.update_batch([one.encode() for one in shingles])
    )


def _datasketch(texts: list[str], fill: Callable[[Any, set[str]], None]) -> Verdicts:
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=JACCARD, num_perm=PERMUTATIONS)
    verdicts: Verdicts = []
    for number, text in enumerate(texts):
        minhash = MinHash(num_perm=PERMUTATIONS)
        fill(minhash, plain_shingles(text))
        found = sorted(index.query(minhash))
        if not found:
            index.insert(number, minhash)
        verdicts.append(found)
    return verdicts


IMPLEMENTATIONS = {
    "ours": ours,
    "datasketch, update": datasketch_update,
    "datasketch, update_batch": datasketch_batch,
}


def plain_shingles(text: str) -> set[str]:
    words = re.findall(r"\w+", text.lower())
    return {" ".join(words[at : at + SHINGLE_WORDS]) for at in range(max(1, len(words) - SHINGLE_WORDS + 1))}


def plain_jaccard(one: set[str], other: set[str]) -> float:
    return len(one & other) / len(one | other)


def read_texts(corpus: Path | None, limit: int) -> list[str]:
    """`limit` texts of 50 words and more: of a .jsonl.gz, or modules of Python's standard library."""
    if corpus is None:
        sources = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
        pages = (path.read_text(encoding="utf-8", errors="replace") for path in sources)
        lines = (page.splitlines() for page in pages)
        found = ("\n".join(page[at : at + 80]) for page in lines for at in range(0, len(page), 80))
    else:
        with gzip.open(corpus, "rt", encoding="utf-8") as file:
            found = iter([json.loads(line)["text"] for line in file])
    texts = [text for text in found if len(text.split()) >= 50]
    return texts[:limit]


def plant(texts: list[str], count: int, seed: int = 0) -> tuple[list[str], list[tuple[int, float]]]:
    """Append changed copies, and say what each is a copy of and how similar (exact Jaccard)."""
    generator = random.Random(seed)
    copies, origins = [], []
    for number in range(count):
        origin = generator.randrange(len(texts))
        words = texts[origin].split()
        for place in generator.sample(range(len(words)), round(len(words) * 0.06 * number / count)):
            words[place] = f"other{generator.randrange(10**6)}"
        copies.append(" ".join(words))
        similarity = plain_jaccard(plain_shingles(texts[origin]), plain_shingles(copies[-1]))
        origins.append((origin, similarity))
    return texts + copies, origins


def quality(texts: list[str], origins: list[tuple[int, float]], verdicts: Verdicts) -> dict[str, float]:
    """Recall over the planted copies from 0.8 on; precision over all that was dropped."""
    first = len(texts) - len(origins)
    wanted = [first + number for number, (_, similarity) in enumerate(origins) if similarity >= JACCARD]
    dropped = [number for number, found in enumerate(verdicts) if found]
    right = 0
    for number in dropped:
        shingles = plain_shingles(texts[number])
        right += any(
            plain_jaccard(shingles, plain_shingles(texts[one])) >= JACCARD for one in verdicts[number]
        )
    return {
        "planted": len(wanted),
        "dropped": len(dropped),
        "recall": sum(bool(verdicts[number]) for number in wanted) / len(wanted),
        "precision": right / len(dropped),
    }


def measured(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """Seconds, peak memory above what was held before in 10^6 bytes, and the result."""
    with peak_memory(torch.device("cpu")) as peak:
        start = time.perf_counter()
        result = work()
        seconds = time.perf_counter() - start
    return seconds, peak.bytes / 1e6, result


def compare_one(name: str, texts: list[str]) -> tuple[float, float, Verdicts]:
    return measured(lambda: IMPLEMENTATIONS[name](texts))


def compare(corpus: Path | None, limit: int, planted: int, repeats: int) -> list[dict[str, Any]]:
    """One row an implementation; they take turns, and the median counts."""
    texts, origins = plant(read_texts(corpus, limit), planted)
    runs: dict[str, list[tuple[float, float, Verdicts]]] = {name: [] for name in IMPLEMENTATIONS}
    for _ in range(repeats):
        for name, done in runs.items():
            done.append(_in_own_process(compare_one, name, texts))
    rows = []
    for name, done in runs.items():
        figures = {
            "seconds": statistics.median(one[0] for one in done),
            "peak_mb": max(one[1] for one in done),
        }
        rows.append({"impl": name, "texts": len(texts)} | figures | quality(texts, origins, done[0][2]))
    for row in rows:
        row["time_of_ours"] = row["seconds"] / rows[0]["seconds"]
    return rows


class Synthetic:
    """Endless texts of shuffled real sentences; every 20th repeats the one ten before, slightly changed."""

    def __init__(self, corpus: Path | None) -> None:
        pages = read_texts(corpus, 2000)
        self._lines = [
            line for page in pages for line in re.split(r"(?<=\.) |\n", page) if len(line.split()) > 5
        ]

    def text(self, number: int) -> str:
        copied = number % 20 == 19
        generator = random.Random(number - 10 if copied else number)
        text = " ".join(generator.choices(self._lines, k=generator.randrange(5, 20)))
        return f"{text} copy number {number}" if copied else text

    def texts(self, numbers: np.ndarray) -> Iterator[list[str]]:
        for start in range(0, len(numbers), _BLOCK):
            yield [self.text(number) for number in numbers[start : start + _BLOCK].tolist()]


def grow_one(corpus: Path | None, size: int) -> dict[str, Any]:
    """Sign and search `size` synthetic texts, which are made anew whenever they are asked for."""
    source, signer = Synthetic(corpus), Signer(JACCARD, SHINGLE_WORDS)

    def shingles_of(numbers: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        found = (one for texts in source.texts(numbers) for one in shingles_of_texts(texts, SHINGLE_WORDS))
        return zip(numbers.tolist(), found, strict=True)

    with tempfile.TemporaryDirectory() as scratch:
        bands = np.memmap(Path(scratch) / "bands", np.uint64, "w+", shape=(signer.bands, size))

        def sign() -> None:
            for number, texts in enumerate(source.texts(np.arange(size))):
                bands[:, number * _BLOCK : number * _BLOCK + len(texts)] = signer.sign(texts).T

        sign_s, sign_mb, _ = measured(sign)
        search_s, search_mb, found = measured(
            lambda: find_near_duplicates(bands, np.ones(size, bool), shingles_of, JACCARD, Path(scratch))
        )
    row = {"texts": size, "sign_s": sign_s, "sign_mb": sign_mb, "search_s": search_s, "search_mb": search_mb}
    return row | {"dropped": int((found >= 0).sum())}


def _in_own_process(work: Callable[..., Any], *arguments: Any) -> Any:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, arguments)


def exponents(rows: list[dict[str, Any]]) -> dict[str, float]:
    """p of figure ~ texts^p."""
    sizes = [row["texts"] for row in rows]
    names = ("sign_s", "search_s", "search_mb")
    return {name: round(growth_exponent(sizes, [row[name] for row in rows]), 3) for name in names}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "corpus", type=Path, nargs="?", help=".jsonl.gz with key `text`; default: Python's library"
    )
    parser.add_argument("--texts", type=int, default=3000, help="real texts compared on")
    parser.add_argument("--planted", type=int, default=600, help="changed copies among them")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--growth", help="numbers of texts, separated by commas, instead of the comparison")
    parser.add_argument("--out", type=Path, help="write the rows here as JSON")
    options = parser.parse_args()
    if options.growth:
        sizes = [int(size) for size in options.growth.split(",")]
        rows = [_in_own_process(grow_one, options.corpus, size) for size in sizes]
        result: dict[str, Any] = {"rows": rows}
        if len(sizes) > 1:
            result["exponents"] = exponents(rows)
    else:
        result = {"rows": compare(options.corpus, options.texts, options.planted, options.repeats)}
    print(json.dumps(result, indent=2))
    if options.out:
        write_json(options.out, result)


if __name__ == "__main__":
    main()

"""Time and memory of the document rules against datatrove's equivalent filters, over the same documents.

Run it in the root of the clone, with datatrove installed (``pip install -e '.[bench]'``):

    python -m bench.corpus_filters                       # the standard library's sources as texts
    python -m bench.corpus_filters texts.jsonl.gz        # rows with `text` and perhaps `_id`

Every run of an implementation is two fresh processes with half of the documents each; the two
implementations take turns. A run's time is that of its slower process, without start, imports and
reading. Peak memory is the resident set's high-water mark, both processes added.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
import logging
import multiprocessing
import re
import resource
import statistics
import sys
import sysconfig
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from revela.corpus.filters import Filters, build_filters
from revela.corpus.schema import Document
from revela.errors import RevelaError
from revela.files import atomic_write_text, write_json
from revela.settings import FilterSettings

log = logging.getLogger("bench")

NAME = "corpus_filters"
PROCESSES = 2
KEPT = "kept"

# What Gopher's two filters and C4's measure, and nothing else.
_EQUIVALENT = {
    "min_words", "max_words", "prose_word_length", "max_symbol_ratio", "max_bullet_line_share",
    "max_ellipsis_line_share", "min_alphabetic_word_share", "min_stop_words", "max_repeated_prose_line_share",
    "max_repeated_line_characters", "max_repeated_paragraph_share", "max_repeated_paragraph_characters",
    "max_top_ngram_characters", "max_repeated_ngram_characters", "min_sentences", "max_lorem_ipsum_share",
    "remove_boilerplate_lines",
}  # fmt: skip
_LIMITS = {"min_words": 50, "max_words": 100_000, "min_sentences": 5}

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def read_documents(path: Path | None) -> list[Document]:
    """The rows of a JSONL file, or the top-level modules of the standard library, all as plain text."""
    if path is None:
        modules = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
        return [Document(file.name, "", file.read_text("utf-8"), "stdlib", "text") for file in modules]
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        rows = list(map(json.loads, lines))
    return [
        Document(str(row.get("_id", number)), "", row["text"], path.name, "text")
        for number, row in enumerate(rows)
        if row["text"].strip()
    ]


def our_filters() -> Filters:
    """The rules that datatrove has, with its limits; all others are off."""
    off = {
        name: "keep"
        if name in ("emails", "secrets", "ip_addresses")
        else None
        if field.annotation is not bool
        else False
        for name, field in FilterSettings.model_fields.items()
        if name not in _EQUIVALENT
    }
    return build_filters(FilterSettings(**off, **_LIMITS))


def ours() -> Callable[[Document], str]:
    filters = our_filters()
    return lambda document: filters.judge(document).reason or KEPT


def theirs(tokenizer: str) -> Callable[[Document], str]:
    """datatrove's filter objects one after the other, as its pipeline calls them.

    C4's line rules that would drop every page with code in it are off, as with ours: lines without final
    punctuation, the word Javascript, curly brackets.
    """
    from datatrove.data import Document as Page
    from datatrove.pipeline.filters import C4QualityFilter, GopherQualityFilter, GopherRepetitionFilter
    from datatrove.utils import word_tokenizers

    if tokenizer == "spaces":
        plain = _plain_tokenizer(word_tokenizers.WordTokenizer)
        word_tokenizers.load_word_tokenizer = lambda language: plain
    filters = [
        GopherRepetitionFilter(),
        GopherQualityFilter(),
        C4QualityFilter(
            filter_no_terminal_punct=False, min_words_per_line=-1, max_word_length=-1, remove_citations=False,
            filter_javascript=False, filter_curly_bracket=False,
        ),
    ]  # fmt: skip

    def judge(document: Document) -> str:
        page = Page(text=document.text, id=document.id)
        for each in filters:
            result = each.filter(page)
            if result is not True:
                return result[1] if isinstance(result, tuple) else type(each).__name__
        return KEPT

    return judge


def _plain_tokenizer(base: type) -> Any:
    """Words between spaces, sentences up to their final stop: cheaper than any tokenizer of datatrove's."""
    sentence = re.compile(r"[^.!?]+[.!?]*\s*")

    class Plain(base):
        def word_tokenize(self, text: str) -> list[str]:
            return text.split()

        def sent_tokenize(self, text: str) -> list[str]:
            return sentence.findall(text)

        def span_tokenize(self, text: str) -> list[tuple[int, int]]:
            return [found.span() for found in sentence.finditer(text)]

    return Plain()


def run_part(impl: str, path: Path | None, tokenizer: str, part: int) -> dict[str, Any]:
    """Every second document through one implementation, in a process of its own."""
    documents = read_documents(path)[part::PROCESSES]
    judge = ours() if impl == "ours" else theirs(tokenizer)
    for document in documents[:5]:
        judge(document)
    start = time.perf_counter()
    verdicts = [judge(document) for document in documents]
    return {
        "seconds": time.perf_counter() - start,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
        "verdicts": verdicts,
    }


def run(impl: str, path: Path | None, tokenizer: str) -> dict[str, Any]:
    """One run: seconds of the slower process, peak memory of both in 10^6 bytes, verdicts in order."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(PROCESSES, mp_context=context) as pool:
        futures = [pool.submit(run_part, impl, path, tokenizer, part) for part in range(PROCESSES)]
        parts = [future.result() for future in futures]
    verdicts = [""] * sum(len(part["verdicts"]) for part in parts)
    for number, part in enumerate(parts):
        verdicts[number::PROCESSES] = part["verdicts"]
    return {
        "impl": impl,
        "seconds": max(part["seconds"] for part in parts),
        "peak_mb": sum(part["peak_mb"] for part in parts),
        "verdicts": verdicts,
    }


def summarise(rows: list[dict[str, Any]], settings: dict[str, Any]) -> dict[str, Any]:
    """Medians, ratios ours over datatrove's, and where the verdicts differ."""
    of = {impl: [row for row in rows if row["impl"] == impl] for impl in ("ours", "datatrove")}
    medians = {
        impl: {key: statistics.median(row[key] for row in runs) for key in ("seconds", "peak_mb")}
        for impl, runs in of.items()
    }
    pairs = Counter(zip(of["ours"][0]["verdicts"], of["datatrove"][0]["verdicts"], strict=True))
    differ = {
        f"{mine} | {other}": n
        for (mine, other), n in pairs.most_common()
        if (mine == KEPT) != (other == KEPT)
    }
    return {
        "settings": settings,
        "runs": [{key: row[key] for key in ("impl", "seconds", "peak_mb")} for row in rows],
        "median": medians,
        "ratio": {key: medians["ours"][key] / medians["datatrove"][key] for key in ("seconds", "peak_mb")},
        "kept": {impl: runs[0]["verdicts"].count(KEPT) for impl, runs in of.items()},
        "differ": sum(differ.values()),
        "differ_by_reason": differ,
    }


def markdown(result: dict[str, Any]) -> str:
    """The result as tables."""
    settings = result["settings"]
    lines = [
        "# Document rules: ours and datatrove's",
        "",
        f"{settings['documents']} documents, {settings['characters'] / 1e6:.1f} million characters "
        f"({settings['source']}), {PROCESSES} processes, median of {settings['repeats']} runs each. "
        f"datatrove {settings['datatrove']}, words by {settings['tokenizer']}.",
        "",
        "| | seconds | peak memory, MB | kept |",
        "|---|---|---|---|",
    ]
    for impl, figures in result["median"].items():
        lines.append(
            f"| {impl} | {figures['seconds']:.2f} | {figures['peak_mb']:.0f} | {result['kept'][impl]} |"
        )
    ratio = result["ratio"]
    lines += [
        f"| ours over datatrove | {ratio['seconds']:.3f} | {ratio['peak_mb']:.3f} | |",
        "",
        f"The verdicts differ on {result['differ']} documents:",
        "",
        "| ours, datatrove | documents |",
        "|---|---|",
        *(f"| {pair.replace(' | ', ', ')} | {count} |" for pair, count in result["differ_by_reason"].items()),
    ]
    return "\n".join(lines) + "\n"


@app.command()
def main(
    path: Annotated[Path | None, typer.Argument(help="JSONL or JSONL.gz with `text`.")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Runs of each implementation.")] = 3,
    tokenizer: Annotated[
        str, typer.Option(help="How datatrove finds words: spacy, its own for English, or spaces, cheaper.")
    ] = "spacy",
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path(__file__).parent / "results",
) -> None:
    """Run ours and datatrove's in turn and write JSON and Markdown."""
    if tokenizer not in ("spacy", "spaces"):
        raise RevelaError(f"--tokenizer: '{tokenizer}' is none of spacy, spaces.")
    needed = (
        {"datatrove": "datatrove", "spacy": "spacy"} if tokenizer == "spacy" else {"datatrove": "datatrove"}
    )
    for module in needed:
        if importlib.util.find_spec(module) is None:
            raise RevelaError(f"the benchmark needs {module}: pip install {module} (or --tokenizer spaces).")
    documents = read_documents(path)
    settings = {
        "source": "standard library" if path is None else path.name,
        "documents": len(documents),
        "characters": sum(len(document.text) for document in documents),
        "repeats": repeats,
        "tokenizer": tokenizer,
        "datatrove": version("datatrove"),
    }
    rows = []
    for number in range(repeats):
        for impl in ("ours", "datatrove"):
            rows.append(run(impl, path, tokenizer))
            log.info("run %d, %s: %.2f s", number + 1, impl, rows[-1]["seconds"])
    result = summarise(rows, settings)
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / f"{NAME}.json", result)
    atomic_write_text(out / f"{NAME}.md", markdown(result))
    typer.echo(markdown(result))


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    log.setLevel(logging.INFO)
    try:
        app()
    except RevelaError as fault:
        sys.exit(f"error: {fault}")

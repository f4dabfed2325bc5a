"""One page about a filtered corpus for a person: Markdown, with its pictures beside it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from revela.corpus.plots import plot_drops, plot_kept, plot_lengths
from revela.files import atomic_write_text

_SAMPLE_CHARACTERS = 300
_MOST_SOURCES = 30


@dataclass(frozen=True, slots=True)
class Sample:
    """A dropped document, for a reader: `text` is what was read, `detail` what the rule measured."""

    id: str
    source: str
    reason: str
    detail: str
    text: str


@dataclass(frozen=True, slots=True)
class Lengths:
    """Documents by their number of words as :func:`revela.corpus.plots.length_histogram` counts them.

    Attributes:
        before: (70,) int64, of what was read.
        after: (70,) int64, of what is kept.
    """

    before: np.ndarray
    after: np.ndarray


def write_report(
    metrics: dict[str, Any],
    lengths: Lengths,
    samples: Iterable[Sample],
    folder: Path,
    redact: Callable[[str], str],
) -> None:
    """Write ``report.md``, ``lengths.png``, ``drops.png`` and ``kept.png``; equal input gives equal bytes.

    Nothing that a document holds can change the page: texts stand in fences longer than any run of
    backticks within, without control characters.

    Args:
        metrics: of :meth:`revela.corpus.counts.Counts.as_metrics`.
        lengths: see there.
        samples: shown by reason, in the order given; how many is the caller's choice.
        folder: made when missing.
        redact: takes secrets out of a text; asked about every sample's id, detail and whole text.
    """
    folder.mkdir(parents=True, exist_ok=True)
    plot_lengths(lengths.before, lengths.after, folder / "lengths.png")
    plot_drops(metrics["sources"], folder / "drops.png")
    plot_kept(metrics["sources"], folder / "kept.png")
    parts = [
        "# The corpus",
        _summary(metrics),
        "![Words of a document, read and kept](lengths.png)",
        "## What was dropped",
        _drops(metrics),
        "![Documents dropped by rule and source](drops.png)",
        "## What is left, by source",
        _sources(metrics["sources"]),
        "![Characters kept by source](kept.png)",
        *_edits(metrics),
        *_malformed(metrics),
        *_samples(list(samples), redact),
    ]
    atomic_write_text(folder / "report.md", "\n\n".join(parts) + "\n")


def _summary(metrics: dict[str, Any]) -> str:
    read, kept = metrics["documents_read"], metrics["documents_kept"]
    text = (
        f"{read:,} documents read, **{kept:,} kept** ({_share(kept, read)}), "
        f"{metrics['documents_dropped']:,} dropped; {metrics['rows_malformed']:,} rows could not be read. "
        f"Kept: {metrics['characters_kept'] / 1e6:,.2f} million characters, "
        f"{metrics['words_kept'] / 1e6:,.2f} million words."
    )
    renamed = metrics["renamed_ids"]
    return text + (f" {renamed:,} ids stood there twice and were made unique." if renamed else "")


def _drops(metrics: dict[str, Any]) -> str:
    ordered = sorted(metrics["dropped_by_reason"].items(), key=lambda item: (-item[1], item[0]))
    read = metrics["documents_read"]
    return _table(
        ["rule", "documents", "share of those read"],
        [[_code(reason), f"{count:,}", _share(count, read)] for reason, count in ordered],
    )


def _sources(sources: dict[str, dict[str, Any]]) -> str:
    ordered = sorted(sources.items(), key=lambda item: (-item[1]["characters"], item[0]))
    rows = [
        [_code(name), *(f"{counts[key]:,}" for key in ("read", "kept", "malformed", "characters"))]
        for name, counts in ordered
    ]
    table = _table(["source", "read", "kept", "malformed", "characters kept"], rows[:_MOST_SOURCES])
    hidden = len(rows) - _MOST_SOURCES
    return table + (f"\n\nAnd {hidden} smaller sources: see metrics.json." if hidden > 0 else "")


def _edits(metrics: dict[str, Any]) -> list[str]:
    if not metrics["edits"]:
        return []
    edited = metrics["edited_documents"]
    rows = [[_code(name), f"{count:,}", f"{edited[name]:,}"] for name, count in metrics["edits"].items()]
    return ["## What was changed in the documents kept", _table(["cleaner", "edits", "documents"], rows)]


def _malformed(metrics: dict[str, Any]) -> list[str]:
    if not metrics["malformed_by_reason"]:
        return []
    rows = [[_code(reason), f"{count:,}"] for reason, count in metrics["malformed_by_reason"].items()]
    return ["## What could not be read", _table(["reason", "rows"], rows)]


def _samples(samples: list[Sample], redact: Callable[[str], str]) -> list[str]:
    if not samples:
        return []
    parts = ["## Some of what was dropped, by rule"]
    for reason in sorted({sample.reason for sample in samples}):
        parts.append(f"### {_code(reason)}")
        for sample in samples:
            if sample.reason == reason:
                # Redacted before it is cut: half a secret would not be recognised.
                identity, detail = _code(redact(sample.id)), _code(redact(sample.detail))
                parts.append(f"{identity} of {_code(sample.source)}: {detail}")
                parts.append(_fenced(redact(sample.text)))
    return parts


def _fenced(text: str) -> str:
    text = _visible(text)
    shown = text[:_SAMPLE_CHARACTERS] + (" …" if len(text) > _SAMPLE_CHARACTERS else "")
    fence = "`" * max(3, _longest_ticks(shown) + 1)
    return f"{fence}text\n{shown}\n{fence}"


def _code(text: str) -> str:
    """Text as inline code, on one line, also within a table."""
    text = " ".join(_visible(text).split())[:_SAMPLE_CHARACTERS].replace("|", "\u00a6")
    if not text:
        return ""
    ticks = "`" * (_longest_ticks(text) + 1)
    space = " " if "`" in text else ""
    return f"{ticks}{space}{text}{space}{ticks}"


def _visible(text: str) -> str:
    """Without control characters, marks that turn the direction of writing, and halves of characters."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(
        "\ufffd" if unicodedata.category(one) in ("Cc", "Cf", "Cs", "Zl", "Zp") and one not in "\n\t" else one
        for one in text[: 4 * _SAMPLE_CHARACTERS]
    )


def _longest_ticks(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "-"


def _table(header: list[str], rows: list[list[str]]) -> str:
    if not rows:
        return "None."
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [header, rule, *rows])

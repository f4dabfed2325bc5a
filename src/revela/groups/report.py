"""The groups for a reader: counts, a picture, and ten groups in text."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from revela.chunks.chunk import Chunk
from revela.groups.relatedness import K1, B
from revela.groups.statistics import Statistics

PLOT = "groups.png"
EXAMPLES = 10
_CHARACTERS = 200

_REASONS = {
    "duplicate_chunk": "the same words as an earlier chunk",
    "near_duplicate_chunk": "nearly the same shingles as an earlier chunk",
    "held_out": "its document is kept to validate with: `batches.pairs.held_out`",
    "group_limit_of_document": "its document gives no more: `batches.max_groups_per_document`",
    "incomplete_group": "too few are left over for a group",
    "no_relatives": "no group more related than chance was found",
    "no_component": "no component of the mixture takes its source",
    "mixture_weights": "its group is above its component's share",
    "near_identical_in_group": "near-identical to another one of its group; a spare one took its place",
    "near_identical_group": "its group had a near-identical pair, and no spare chunk fitted",
    "group_limit": "its group was not drawn: `batches.max_groups`",
    "short_chunk": "below `batches.min_chunk_tokens`, and no neighbour had room",
    "no_query_split": "no place to end the query",
    "no_safe_cut": "no place to cut a stretch that is too long",
}


def choose_examples(statistics: Statistics, most: int = EXAMPLES) -> list[int]:
    """Numbers of groups from the least to the most related, evenly by rank, at least one of each kind.

    A kind that the ranks leave out is shown by its middle group, in place of the nearest example of a
    kind that has several.
    """
    order = np.argsort(statistics.relatedness, kind="stable")
    count = min(most, len(order))
    chosen = [int(order[int((place + 0.5) * len(order) / count)]) for place in range(count)]
    rank = np.argsort(order, kind="stable")
    for kind in sorted(set(statistics.kinds)):
        shown = [statistics.kinds[number] for number in chosen]
        if kind in shown:
            continue
        of_kind = [int(number) for number in order if statistics.kinds[number] == kind]
        middle = of_kind[len(of_kind) // 2]
        several = [number for number in chosen if shown.count(statistics.kinds[number]) > 1]
        if several:
            nearest = min(several, key=lambda number: abs(int(rank[number]) - int(rank[middle])))
            chosen[chosen.index(nearest)] = middle
    return sorted(chosen, key=lambda number: int(rank[number]))


def markdown(metrics: dict[str, Any], statistics: Statistics, examples: Callable[[int], list[Chunk]]) -> str:
    """The whole report.

    Args:
        metrics: the content of ``metrics.json``.
        examples: number of a group -> its chunks.
    """
    chosen = choose_examples(statistics)
    parts = [
        "# Groups\n",
        f"{metrics['groups']} groups of {metrics['group_size']} chunks, {metrics['mean_tokens']} tokens a "
        f"chunk; {metrics['chunks_used']} of {metrics['chunks']} chunks, "
        f"{metrics['documents_used']} of {metrics['documents']} documents.\n",
        _kinds(metrics),
        f"![lengths, documents, relatedness and sources]({PLOT})\n",
        "Relatedness is the mean over a group's pairs of BM25, made symmetric and put between 0 and 1 "
        f"(k1 = {K1}, b = {B}, identifiers split into their words). Random groups of the same chunks stand "
        "beside it: what lies above them is what the strategy gains.\n",
        "## Chunks that are in no group\n",
        _dropped(metrics["chunks_dropped_by_reason"]),
        f"## {len(chosen)} groups, from the least to the most related\n",
        "‖ ends the query. Long chunks are shortened (…).\n",
    ]
    parts += [_example(number, statistics, examples(number)) for number in chosen]
    return "\n".join(parts)


def _kinds(metrics: dict[str, Any]) -> str:
    related = metrics["relatedness"]
    rows = [["kind", "groups", "mean relatedness", "10 %", "90 %", "no more related than chance"]]
    for kind, count in metrics["groups_by_kind"].items():
        if count:
            summary = related["by_kind"][kind]
            chance = str(related["groups_no_more_related_than_chance"][kind])
            rows.append([kind.replace("_", " "), str(count), *_cells(summary), chance])
    rows.append(["random, for comparison", "", *_cells(related["random_groups"]), ""])
    return _table(rows)


def _cells(summary: dict[str, float]) -> list[str]:
    return [f"{summary[name]:.3f}" for name in ("mean", "p10", "p90")]


def _dropped(reasons: dict[str, int]) -> str:
    if not any(reasons.values()):
        return "None.\n"
    rows = [["reason", "chunks", "meaning"]]
    rows += [[f"`{reason}`", str(count), _REASONS[reason]] for reason, count in reasons.items() if count]
    return _table(rows)


def _table(rows: list[list[str]]) -> str:
    lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _example(number: int, statistics: Statistics, chunks: list[Chunk]) -> str:
    kind = statistics.kinds[number].replace("_", " ")
    parts = [
        f"### Group {number}: {kind}, relatedness {statistics.relatedness[number]:.3f}, "
        f"{statistics.documents[number]} document(s)\n"
    ]
    for chunk in chunks:
        query, rest = chunk.text[: chunk.query_end], chunk.text[chunk.query_end :]
        shown = f"{_shortened(query, keep_end=True)}‖{_shortened(rest, keep_end=False)}"
        parts.append(f"{inline_code(chunk.chunk_id)}, {chunk.tokens} tokens\n\n{fenced(shown)}\n")
    return "\n".join(parts)


def _shortened(text: str, keep_end: bool) -> str:
    if len(text) <= _CHARACTERS:
        return text
    return f"…{text[-_CHARACTERS:]}" if keep_end else f"{text[:_CHARACTERS]}…"


def fenced(text: str) -> str:
    """Text as a code block whose fence no line of the text can close.

    >>> fenced("a ``` b")
    '````text\\na ``` b\\n````'
    """
    fence = "`" * max(3, 1 + _longest_run(text))
    return f"{fence}text\n{text}\n{fence}"


def inline_code(text: str) -> str:
    """A name on one line as code, whatever is in it.

    >>> inline_code("a`b")
    '`` a`b ``'
    """
    name = " ".join(text.split())
    if "`" not in name:
        return f"`{name}`"
    mark = "`" * (1 + _longest_run(name))
    return f"{mark} {name} {mark}"


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)

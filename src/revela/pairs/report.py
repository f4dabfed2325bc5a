"""The pairs for a reader: counts, shares, what was left out, and a few of each kind in text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from revela.pairs.mining import REASONS
from revela.pairs.pair import Pair

EXAMPLES = 5
_CHARACTERS = 300


def markdown(metrics: dict[str, Any], pairs: Mapping[str, Sequence[Pair]]) -> str:
    """The report on pairs, a part of that of the stage.

    Args:
        metrics: counts, as :func:`revela.pairs.pipeline.build_pairs` returns them.
        pairs: kind -> pairs.
    """
    rows = [["kind", "pairs", "documents", "held out", "share of training"]]
    for kind, found in metrics["kinds"].items():
        numbers = [str(found[key]) for key in ("pairs", "documents", "held_out")]
        rows.append([f"`{kind}`", *numbers, f"{found['share']:.0%}"])
    parts = [
        "# Pairs\n",
        f"{metrics['pairs']} pairs of a query and a passage out of {metrics['documents']} documents. Pairs "
        "of documents that are held out are never trained on; training is validated with them.\n",
        _table(rows),
        "## Pairs that were left out\n",
        _dropped(metrics["dropped_by_reason"]),
    ]
    for kind, of_kind in pairs.items():
        parts.append(f"## {min(EXAMPLES, len(of_kind))} pairs of kind {kind}\n")
        parts += [_example(pair) for pair in of_kind[:EXAMPLES]]
    return "\n".join(parts)


def _dropped(reasons: Mapping[str, Mapping[str, int]]) -> str:
    if not reasons:
        return "None.\n"
    rows = [["reason", "pairs", "of which kinds", "meaning"]]
    for reason, kinds in reasons.items():
        of = ", ".join(f"{kind} {number}" for kind, number in kinds.items())
        rows.append([f"`{reason}`", str(sum(kinds.values())), of, REASONS[reason]])
    return _table(rows)


def _table(rows: list[list[str]]) -> str:
    lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _example(pair: Pair) -> str:
    passage = pair.passage if len(pair.passage) <= _CHARACTERS else f"{pair.passage[:_CHARACTERS]} …"
    # Four blanks: text of the corpus is never read as markup.
    shown = "\n".join(f"    {line}" for line in [f"? {pair.query}", *passage.split("\n")])
    return f"`{pair.document_id}`\n\n{shown}\n"

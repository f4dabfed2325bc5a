"""The tables of :mod:`bench.adaptation`, from the scores of its searches.

Scores lie in ``TEXT/NAME/seed-N/COLLECTION.parquet``: what a retriever was trained on (:data:`OWN`: the
collection's documents), how, and from which seed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from revela.evaluation.report import HYBRID, PRIMARY, SUBJECT, verdict
from revela.evaluation.significance import CONFIDENCE, Comparison, compare, holm

OWN = "own"
DEFAULT = "default"
_LEAD = ["lead", "p", ""]
_RESAMPLES = 10_000

# text -> name -> collection -> seed -> scores
Found = dict[str, dict[str, dict[str, dict[int, pd.DataFrame]]]]


def read(rows: Path) -> Found:
    """All scores under a folder."""
    found: Found = {}
    for file in sorted(rows.glob("*/*/seed-*/*.parquet")):
        text, name, seed = file.relative_to(rows).parts[:3]
        of_name = found.setdefault(text, {}).setdefault(name, {})
        of_name.setdefault(file.stem, {})[int(seed.removeprefix("seed-"))] = pd.read_parquet(file)
    return found


def over_seeds(scores: dict[int, pd.DataFrame], model: str) -> pd.DataFrame:
    """Each query's mean over seeds, of one model: the test is about queries, the spread stands beside it."""
    together = pd.concat([table[table["model"] == model] for table in scores.values()])
    return together.groupby("query_id")[PRIMARY].mean().reset_index()


def mean_and_spread(scores: dict[int, pd.DataFrame], model: str) -> str:
    """Mean nDCG@10, and its standard deviation where there are several seeds."""
    means = pd.Series([table.loc[table["model"] == model, PRIMARY].mean() for table in scores.values()])
    return f"{means.mean():.3f}" + (f" ± {means.std():.3f}" if len(means) > 1 else "")


def table(rows: Path, tokens: int) -> str:
    """Markdown: one table for every text and name, and one for names that share a text with the default."""
    found = read(rows)
    sections = [
        "# What training on raw text is worth on other collections\n",
        f"nDCG@10; all encoders read {tokens} tokens of a text. The lead is over the encoder as downloaded, "
        f"with its {CONFIDENCE:.0%} bootstrap interval; p by a paired randomisation test over queries, each "
        "query's mean over seeds, after Holm over the rows of a table.\n",
    ]
    for text, by_name in found.items():
        for name, collections in by_name.items():
            where = "its own documents" if text == OWN else f"`{text}`"
            sections.append(f"## Trained on {where}: {name}\n\n{_against_start(collections)}\n")
        others = [name for name in by_name if name != DEFAULT]
        if DEFAULT in by_name and others:
            title = f"## Trained on `{text}`: the default against others"
            sections.append(f"{title}\n\n{_against_others(by_name, others)}\n")
    return "\n".join(sections)


def _against_start(collections: dict[str, dict[int, pd.DataFrame]]) -> str:
    compared = {
        name: _compare(over_seeds(scores, SUBJECT), over_seeds(scores, "untrained"))
        for name, scores in collections.items()
    }
    head = [
        "collection",
        "queries",
        "seeds",
        "BM25",
        "as downloaded",
        "trained",
        "with BM25, by ranks",
        *_LEAD,
    ]
    cells = [
        [
            name, str(compared[name].queries), str(len(scores)),
            *(mean_and_spread(scores, model) for model in ("bm25", "untrained", SUBJECT, HYBRID)),
            *lead,
        ]
        for (name, scores), lead in zip(collections.items(), _leads(list(compared.values())), strict=True)
    ]  # fmt: skip
    leads = pd.Series([one.difference for one in compared.values()])
    return f"{_markdown(head, cells)}\n\nMean lead of {len(leads)}: {leads.mean():+.4f}."


def _against_others(by_name: dict[str, Any], others: list[str]) -> str:
    pairs = [
        (name, collection, sorted(set(scores) & set(by_name[name].get(collection, {}))))
        for name in others
        for collection, scores in by_name[DEFAULT].items()
    ]
    pairs = [pair for pair in pairs if pair[2]]
    compared = []
    for name, collection, seeds in pairs:
        sides = [
            over_seeds({seed: by_name[side][collection][seed] for seed in seeds}, SUBJECT)
            for side in (DEFAULT, name)
        ]
        compared.append(_compare(*sides))
    head = ["collection", "against", "seeds", "default", "other", *_LEAD]
    cells = [
        [collection, name, str(len(seeds)), f"{one.mean_a:.4f}", f"{one.mean_b:.4f}", *lead]
        for (name, collection, seeds), one, lead in zip(pairs, compared, _leads(compared), strict=True)
    ]
    return _markdown(head, cells)


def _compare(mine: pd.DataFrame, theirs: pd.DataFrame) -> Comparison:
    return compare(mine, theirs, metric=PRIMARY, resamples=_RESAMPLES, seed=0)


def _leads(compared: list[Comparison]) -> Iterator[list[str]]:
    """Lead, p after Holm and verdict of every comparison of a table."""
    for one, p in zip(compared, holm([one.p for one in compared]), strict=True):
        lead = f"{one.difference:+.4f} ({one.low:+.4f} to {one.high:+.4f})"
        yield [lead, f"{p:.2g}", verdict(one.difference, p)]


def _markdown(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---", *(["---:"] * (len(head) - 1))], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)

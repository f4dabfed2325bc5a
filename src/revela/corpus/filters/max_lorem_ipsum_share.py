"""Placeholder text."""

import re
from itertools import pairwise

from revela.corpus.filters.base import Rule, View

_WORD = re.compile(r"[a-z]+")
_PLACEHOLDER = frozenset(
    [
        "lorem",
        "ipsum",
        "dolor",
        "sit",
        "amet",
        "consectetur",
        "consectetuer",
        "adipiscing",
        "adipisicing",
        "elit",
        "sed",
        "do",
        "eiusmod",
        "tempor",
        "incididunt",
        "ut",
        "labore",
        "et",
        "dolore",
        "magna",
        "aliqua",
        "enim",
        "ad",
        "minim",
        "veniam",
        "quis",
        "nostrud",
        "exercitation",
        "ullamco",
        "laboris",
        "nisi",
        "aliquip",
        "ex",
        "ea",
        "commodo",
        "consequat",
        "duis",
        "aute",
        "irure",
        "in",
        "reprehenderit",
        "voluptate",
        "velit",
        "esse",
        "cillum",
        "eu",
        "fugiat",
        "nulla",
        "pariatur",
        "excepteur",
        "sint",
        "occaecat",
        "cupidatat",
        "non",
        "proident",
        "sunt",
        "culpa",
        "qui",
        "officia",
        "deserunt",
        "mollit",
        "anim",
        "id",
        "est",
        "laborum",
    ]
)


class MaxLoremIpsumShare(Rule):
    """Keeps prose with "lorem ipsum" in it where at most `maximum` of the words are that text; code passes.

    C4 drops every page with the phrase (arXiv 1910.10683, section 2.2). That would drop the article
    about it and manuals that show it as an example, hence a share: 0.1 is ours.
    """

    reason = "lorem_ipsum"

    def __init__(self, maximum: float) -> None:
        self.maximum = maximum

    def __call__(self, view: View) -> str | None:
        if not view.is_prose:
            return None
        text = view.lower
        if "lorem ipsum" not in text:
            return None
        words = _WORD.findall(text)
        # The list holds `in`, `do`, `ad`, …: only what stands beside another of its words counts.
        known = [word in _PLACEHOLDER for word in words]
        pairs = sum(here and after for here, after in pairwise(known))
        share = pairs / len(words)
        return (
            None
            if share <= self.maximum
            else f"lorem ipsum share {share:.2f}, at most {self.maximum:g} wanted"
        )

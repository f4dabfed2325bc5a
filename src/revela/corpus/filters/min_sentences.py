"""Menus and captions are no sentences."""

import re

from revela.corpus.filters.base import Rule, View

_SENTENCE_END = re.compile(r"[.!?][\"'\u201d\u2019)\]]*(?=\s|$)|[\u3002\uff01\uff1f]")


class MinSentences(Rule):
    """Keeps prose with at least `minimum` ends of sentences; code passes.

    C4 asks for 5 (Raffel et al. 2020, arXiv 1910.10683, section 2.2). Off by default: a short answer or
    an entry of a manual says something in fewer.
    """

    reason = "too_few_sentences"

    def __init__(self, minimum: int) -> None:
        self.minimum = minimum

    def __call__(self, view: View) -> str | None:
        if not view.is_prose:
            return None
        count = 0
        for count, _ in enumerate(_SENTENCE_END.finditer(view.text), start=1):
            if count >= self.minimum:
                return None
        return f"{count} sentences, at least {self.minimum} wanted"

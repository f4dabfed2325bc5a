"""Licences as documents of their own."""

import re

from revela.corpus.filters.base import Rule, View
from revela.corpus.filters.licences import LICENCE_PHRASE

_NAMES = re.compile(
    r"(?:^|/)(?:licen[cs]es?|copying|notice|unlicense|patents)(?:[-._][\w.+-]*)?$", re.IGNORECASE
)
_CODE = re.compile(r"\.(?:py|pyi|js|ts|java|go|rs|c|h|cc|cpp|hpp|rb|sh|html?)$", re.IGNORECASE)
_WORDS_A_PHRASE = 40
_MOST_WORDS = 2000


class LicenceTexts(Rule):
    """Keeps documents that are no licence: neither by a file's name nor by every 40 words saying so.

    A text with at least 4 phrases of licences, one in 40 words, is one; an article about a licence has
    fewer. The figures are ours: of the usual licences MIT, BSD, Apache 2.0's notice and ISC have one in 25.
    Long licences (GPL, Apache 2.0) are found by their name, LICENSE or COPYING.
    """

    reason = "licence_text"

    def __call__(self, view: View) -> str | None:
        path = view.document.id
        if _NAMES.search(path) and not _CODE.search(path):
            return f"name {path.rpartition('/')[2]}"
        if len(view.words) > _MOST_WORDS or sum(map(view.lower.count, ("licen", "warrant", "copyright"))) < 3:
            return None
        count = len(LICENCE_PHRASE.findall(view.text))
        if count < 4 or count * _WORDS_A_PHRASE < len(view.words):
            return None
        return f"{count} phrases of licences in {len(view.words)} words"

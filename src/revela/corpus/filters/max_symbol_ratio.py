"""Hash tags and texts that break off: more symbols than words can carry."""

import re

from revela.corpus.filters.base import Rule, View

_HEADING = re.compile(r"^#{1,6}(?= )", re.MULTILINE)


class MaxSymbolRatio(Rule):
    """Keeps prose with at most `maximum` hash signs, and at most `maximum` ellipses, a word.

    0.1 is Gopher's (arXiv 2112.11446, appendix A.1). The signs of Markdown headings do not count. Code
    always passes: ``#`` begins its comments.
    """

    reason = "too_many_symbols"

    def __init__(self, maximum: float) -> None:
        self.maximum = maximum

    def __call__(self, view: View) -> str | None:
        if not view.is_prose:
            return None
        text, allowed = view.text, self.maximum * len(view.words)
        hashes = text.count("#")
        if hashes > allowed and view.document.kind == "markdown":
            hashes -= sum(map(len, _HEADING.findall(text)))
        ellipses = text.count("...") + text.count("…")
        for count, name in ((hashes, "hash signs"), (ellipses, "ellipses")):
            if count > allowed:
                return f"{count / len(view.words):.2f} {name} a word, at most {self.maximum:g} wanted"
        return None

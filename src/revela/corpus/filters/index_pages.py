"""Pages that only lead to other pages: a manual's index, a list of links."""

import re

from revela.corpus.filters.base import Rule, View

# What Sphinx, Javadoc and Doxygen write.
_NAMES = re.compile(
    r"(?:^|/)(?:genindex(?:-\w+)?|py-modindex|modindex|searchindex|bookindex|allclasses(?:-\w+)?|allpackages-index"
    r"|overview-(?:tree|summary|frame)|package-(?:tree|summary|frame|use)|index-all|constant-values|serialized-form"
    r"|deprecated-list|functions_\w+|globals_\w+|namespacemembers(?:_\w+)?)"
    r"(?:\.html?(?:\.txt)?|\.js)$",
    re.IGNORECASE,
)
_LINK_LINE = re.compile(
    r"(?:[-*+•]\s+|\d+[.)]\s+|#{1,6}\s+)?"
    r"(?:https?://\S+|\[[^\]]*\]\([^)]*\)|<https?://[^>]*>|`[^`<]*<[^>]*>`_{1,2}|\.\. _[^:]*: \S+)"
    r"(?:\s*[|,;·-]\s*(?:https?://\S+|\[[^\]]*\]\([^)]*\)))*[.,;]?"
)
_LARGEST_SHARE = 0.8
_FEWEST_LINES = 5


class IndexPages(Rule):
    """Keeps documents that are neither an index that a documentation tool wrote nor a list of bare links.

    The tool's pages are known by their names. In prose, a list of links is a text of 5 lines or more with
    over 0.8 of them nothing but links; the figures are ours.
    """

    reason = "index_page"

    def __call__(self, view: View) -> str | None:
        path = view.document.id
        if _NAMES.search(path):
            return f"name {path.rpartition('/')[2]}"
        if (
            not view.is_prose
            or len(view.lines) < _FEWEST_LINES
            or ("http" not in view.text and "](" not in view.text)
        ):
            return None
        share = sum(_LINK_LINE.fullmatch(line) is not None for line in view.lines) / len(view.lines)
        return (
            None
            if share <= _LARGEST_SHARE
            else f"link line share {share:.2f}, at most {_LARGEST_SHARE:g} wanted"
        )

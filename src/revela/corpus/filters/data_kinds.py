"""Files that are data by their kind."""

from collections.abc import Sequence

from revela.corpus.filters.base import Rule, View


class DataKinds(Rule):
    """Keeps documents of other kinds than `kinds`: tables, serialised objects, drawings, lock files.

    The kind is a file's suffix or what the source says. The list is ours; The Stack keeps JSON, YAML and
    the like apart as data languages, too (Kocetkov et al. 2022, arXiv 2211.15533).
    """

    reason = "data_kind"

    def __init__(self, kinds: Sequence[str]) -> None:
        self.kinds = frozenset(kinds)

    def __call__(self, view: View) -> str | None:
        return f"kind {view.document.kind}" if view.document.kind in self.kinds else None

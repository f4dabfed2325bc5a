"""Dumps of data are longer than anything that a person writes in one file."""

from revela.corpus.filters.base import Rule, View


class MaxCharacters(Rule):
    """Keeps documents of at most `maximum` characters.

    The default of 1 000 000 is the bound of The Stack for a source file, 1 MB (Kocetkov et al. 2022,
    arXiv 2211.15533); a long novel has as many. That one long document does not fill the training
    set is the business of `batches.max_groups_per_document`.
    """

    reason = "too_many_characters"

    def __init__(self, maximum: int) -> None:
        self.maximum = maximum

    def __call__(self, view: View) -> str | None:
        if len(view.text) <= self.maximum:
            return None
        return f"{len(view.text)} characters, at most {self.maximum} wanted"

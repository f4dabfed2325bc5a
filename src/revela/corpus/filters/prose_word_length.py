"""Words shorter or longer than a language has them: letters spelt apart, tables, glued text."""

from revela.corpus.filters.base import Rule, View
from revela.settings.filters import MeanWordLength


class ProseWordLength(Rule):
    """Keeps prose whose words have a mean length within bounds; code always passes.

    3 to 10 characters are Gopher's (arXiv 2112.11446, appendix A.1). Text with letters of a script
    without spaces passes, since there every letter counts as a word. The words of technical text may be
    three times as long, see :class:`View`.
    """

    reason = "unusual_word_length"

    def __init__(self, bounds: MeanWordLength) -> None:
        self.bounds = bounds

    def __call__(self, view: View) -> str | None:
        if not view.is_prose:
            return None
        low, high = self.bounds.min, self.bounds.max * view.room
        if low <= view.mean_word_length <= high or view.has_unspaced_script:
            return None
        return f"mean word length {view.mean_word_length:.1f}, {low:g} to {high:g} wanted"

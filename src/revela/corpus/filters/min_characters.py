"""Too short, in characters."""

from revela.corpus.filters.base import Rule, View


class MinCharacters(Rule):
    """Keeps documents of at least `minimum` characters, white space included; every kind.

    Off by default: `min_words` asks the same of languages that write spaces and of those that do not.
    """

    reason = "too_few_characters"

    def __init__(self, minimum: int) -> None:
        self.minimum = minimum

    def __call__(self, view: View) -> str | None:
        if len(view.text) >= self.minimum:
            return None
        return f"{len(view.text)} characters, at least {self.minimum} wanted"

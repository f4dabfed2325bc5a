"""The rules that drop documents and the cleaners that change them: one a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from revela.corpus.filters.base import Cleaner, Rule, View
from revela.corpus.filters.generated import Generated
from revela.corpus.filters.max_characters import MaxCharacters
from revela.corpus.filters.max_digit_share import MaxDigitShare
from revela.corpus.filters.max_line_length import MaxLineLength
from revela.corpus.filters.max_mean_word_length import MaxMeanWordLength
from revela.corpus.filters.max_repeated_line_share import MaxRepeatedLineShare
from revela.corpus.filters.min_words import MinWords
from revela.corpus.schema import Document
from revela.settings import FilterSettings

# Key in `corpus.filters` -> rule. Cheap rules stand first.
RULES: dict[str, Callable[..., Rule]] = {
    "max_characters": MaxCharacters,
    "drop_generated": Generated,
    "min_words": MinWords,
    "max_mean_word_length": MaxMeanWordLength,
    "max_line_length": MaxLineLength,
    "max_digit_share": MaxDigitShare,
    "max_repeated_line_share": MaxRepeatedLineShare,
}


@dataclass(frozen=True, slots=True)
class Judgement:
    """What became of a document.

    Attributes:
        document: cleaned when it is kept; as it was read when it is dropped.
        reason: code of the rule that dropped it; None keeps it.
        detail: what that rule measured and wanted, for a reader.
        edits: cleaner -> edits in the document kept; cleaners without edits are left out.
    """

    document: Document
    reason: str | None = None
    detail: str = ""
    edits: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Filters:
    """Everything that is asked about one document alone; the same answer in every process.

    Attributes:
        cleaners: run before the rules, which see their result.
        rules: asked in order; the first that objects drops the document.
        redactors: cleaners run on what is kept.
    """

    cleaners: tuple[Cleaner, ...] = ()
    rules: tuple[Rule, ...] = ()
    redactors: tuple[Cleaner, ...] = ()

    def judge(self, document: Document) -> Judgement:
        """Clean the document and ask the rules about it. One without a visible character is `empty`."""
        if not document.text or document.text.isspace():
            return Judgement(document, "empty", "no visible character")
        edits: dict[str, int] = {}
        cleaned = _clean(document, self.cleaners, edits)
        if not cleaned.text or cleaned.text.isspace():
            return Judgement(document, "empty", f"no visible character after {', '.join(edits)}")
        view = View(cleaned)
        for rule in self.rules:
            detail = rule(view)
            if detail is not None:
                return Judgement(document, rule.reason, detail)
        return Judgement(_clean(cleaned, self.redactors, edits), edits=edits)


def build_filters(settings: FilterSettings) -> Filters:
    """The rules and cleaners that are switched on (neither `null` nor `false`), in the tables' order."""
    return Filters(rules=tuple(_switched_on(RULES, settings)))


def _switched_on(table: dict[str, Callable[..., Rule]], settings: FilterSettings) -> list[Rule]:
    found = []
    for key, make in table.items():
        value = getattr(settings, key)
        if value is True:
            found.append(make())
        elif value is not None and value is not False:
            found.append(make(value))
    return found


def _clean(document: Document, cleaners: tuple[Cleaner, ...], edits: dict[str, int]) -> Document:
    for cleaner in cleaners:
        text, count = cleaner(document)
        if count:
            edits[cleaner.name] = edits.get(cleaner.name, 0) + count
            document = replace(document, text=text)
    return document

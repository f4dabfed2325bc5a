"""The rules that drop documents and the cleaners that change them: one a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from revela.corpus.filters.base import Cleaner, Rule, View
from revela.corpus.filters.boilerplate_lines import BoilerplateLines
from revela.corpus.filters.data_kinds import DataKinds
from revela.corpus.filters.emails import find_emails
from revela.corpus.filters.generated import Generated
from revela.corpus.filters.index_pages import IndexPages
from revela.corpus.filters.ip_addresses import find_ip_addresses
from revela.corpus.filters.languages import Languages
from revela.corpus.filters.licence_header import LicenceHeader
from revela.corpus.filters.licence_texts import LicenceTexts
from revela.corpus.filters.max_bullet_line_share import MaxBulletLineShare
from revela.corpus.filters.max_characters import MaxCharacters
from revela.corpus.filters.max_digit_share import MaxDigitShare
from revela.corpus.filters.max_ellipsis_line_share import MaxEllipsisLineShare
from revela.corpus.filters.max_encoded_share import MaxEncodedShare
from revela.corpus.filters.max_line_length import MaxLineLength
from revela.corpus.filters.max_literal_line_share import MaxLiteralLineShare
from revela.corpus.filters.max_lorem_ipsum_share import MaxLoremIpsumShare
from revela.corpus.filters.max_mean_word_length import MaxMeanWordLength
from revela.corpus.filters.max_repeated_line_characters import MaxRepeatedLineCharacters
from revela.corpus.filters.max_repeated_line_share import MaxRepeatedLineShare
from revela.corpus.filters.max_repeated_ngram_characters import MaxRepeatedNgramCharacters
from revela.corpus.filters.max_repeated_paragraph_characters import MaxRepeatedParagraphCharacters
from revela.corpus.filters.max_repeated_paragraph_share import MaxRepeatedParagraphShare
from revela.corpus.filters.max_repeated_prose_line_share import MaxRepeatedProseLineShare
from revela.corpus.filters.max_symbol_ratio import MaxSymbolRatio
from revela.corpus.filters.max_top_ngram_characters import MaxTopNgramCharacters
from revela.corpus.filters.max_words import MaxWords
from revela.corpus.filters.min_alphabetic_word_share import MinAlphabeticWordShare
from revela.corpus.filters.min_characters import MinCharacters
from revela.corpus.filters.min_punctuated_line_share import MinPunctuatedLineShare
from revela.corpus.filters.min_sentences import MinSentences
from revela.corpus.filters.min_stop_words import MinStopWords
from revela.corpus.filters.min_words import MinWords
from revela.corpus.filters.prose_word_length import ProseWordLength
from revela.corpus.filters.redaction import Finder, Holds, Redactor
from revela.corpus.filters.secrets import find_secrets
from revela.corpus.filters.vendored import Vendored
from revela.corpus.schema import Document
from revela.settings import FilterSettings

T = TypeVar("T")

# Key in `corpus.filters` -> rule. Cheap rules stand first; the first that objects gives its reason.
RULES: dict[str, type[Rule]] = {
    "data_kinds": DataKinds,
    "drop_vendored": Vendored,
    "max_characters": MaxCharacters,
    "min_characters": MinCharacters,
    "drop_generated": Generated,
    "drop_licence_texts": LicenceTexts,
    "drop_index_pages": IndexPages,
    "min_words": MinWords,
    "max_words": MaxWords,
    "max_mean_word_length": MaxMeanWordLength,
    "max_line_length": MaxLineLength,
    "max_digit_share": MaxDigitShare,
    "max_encoded_share": MaxEncodedShare,
    "max_literal_line_share": MaxLiteralLineShare,
    "max_repeated_line_share": MaxRepeatedLineShare,
    "languages": Languages,
    "prose_word_length": ProseWordLength,
    "max_symbol_ratio": MaxSymbolRatio,
    "max_bullet_line_share": MaxBulletLineShare,
    "max_ellipsis_line_share": MaxEllipsisLineShare,
    "min_alphabetic_word_share": MinAlphabeticWordShare,
    "min_stop_words": MinStopWords,
    "min_sentences": MinSentences,
    "min_punctuated_line_share": MinPunctuatedLineShare,
    "max_lorem_ipsum_share": MaxLoremIpsumShare,
    "max_repeated_prose_line_share": MaxRepeatedProseLineShare,
    "max_repeated_line_characters": MaxRepeatedLineCharacters,
    "max_repeated_paragraph_share": MaxRepeatedParagraphShare,
    "max_repeated_paragraph_characters": MaxRepeatedParagraphCharacters,
    "max_top_ngram_characters": MaxTopNgramCharacters,
    "max_repeated_ngram_characters": MaxRepeatedNgramCharacters,
}

# Key -> cleaner that runs before the rules.
CLEANERS: dict[str, type[Cleaner]] = {
    "remove_licence_headers": LicenceHeader,
    "remove_boilerplate_lines": BoilerplateLines,
}

# Key -> (name, finder) of what is redacted in what the rules keep. Passwords in URLs look like addresses,
# so secrets come first.
REDACTIONS: dict[str, tuple[str, Finder]] = {
    "secrets": ("secret", find_secrets),
    "emails": ("email", find_emails),
    "ip_addresses": ("ip_address", find_ip_addresses),
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
    """The rules and cleaners that are switched on (neither `null` nor `false`), in the tables' order.

    Raises:
        RevelaError: a language that cannot be told.
    """
    treatments = [(getattr(settings, key), *redaction) for key, redaction in REDACTIONS.items()]
    return Filters(
        cleaners=tuple(_switched_on(CLEANERS, settings)),
        rules=(
            *_switched_on(RULES, settings),
            *(Holds(name, find) for treatment, name, find in treatments if treatment == "drop"),
        ),
        redactors=tuple(
            Redactor(name, find) for treatment, name, find in treatments if treatment == "redact"
        ),
    )


def _switched_on(table: Mapping[str, Callable[..., T]], settings: FilterSettings) -> list[T]:
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

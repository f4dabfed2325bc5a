"""What a rule and a cleaner are, and the measurements that rules share."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Collection
from functools import cached_property
from typing import ClassVar

from revela.corpus.filters.language import languages_of
from revela.corpus.filters.ngrams import WordRuns
from revela.corpus.schema import PROSE_KINDS, Document
from revela.words import has_unspaced_script, tokens

_PARAGRAPH_BREAK = re.compile(r"\n\s*\n")
# What code and markup are full of and sentences hardly have: 99 % of the articles of a sample of Wikipedia
# hold fewer than 0.03 a word, 74 % of the pages of programming manuals more.
_TECHNICAL_SYMBOLS = "_{}<>=`|\\$*"
_TECHNICAL_RATIO = 0.03


class View:
    """A document as rules look at it: each measurement is taken once, when the first rule asks for it.

    A word is one of :func:`revela.words.tokens`.
    """

    def __init__(self, document: Document) -> None:
        self.document = document
        self.text = document.text

    @property
    def is_prose(self) -> bool:
        """Whether lines are paragraphs and sentences rather than statements."""
        return self.document.kind in PROSE_KINDS

    @cached_property
    def is_technical(self) -> bool:
        """Whether code, tables or markup make up a good part: more than 0.03 of their symbols a word."""
        return sum(map(self.text.count, _TECHNICAL_SYMBOLS)) > _TECHNICAL_RATIO * len(self.words)

    @property
    def room(self) -> float:
        """How far bounds made for plain prose are stretched: 3 for technical text, else 1.

        A manual repeats its function's name, the head of its tables and the lines of its examples.
        """
        return 3.0 if self.is_technical else 1.0

    @cached_property
    def words(self) -> list[str]:
        return tokens(self.text)

    @cached_property
    def has_unspaced_script(self) -> bool:
        """Whether a letter of a script without spaces occurs."""
        return has_unspaced_script(self.text)

    @cached_property
    def lower(self) -> str:
        """The text in lower case."""
        return self.text.lower()

    @cached_property
    def visible(self) -> int:
        """Number of characters that are not white space."""
        return sum(map(len, self.words))

    @cached_property
    def lines(self) -> list[str]:
        """Lines that are not blank, without the white space around them."""
        return [line for line in map(str.strip, self.text.splitlines()) if line]

    @cached_property
    def paragraphs(self) -> list[str]:
        """Runs of lines between blank lines, without the white space around them."""
        return [part for part in map(str.strip, _PARAGRAPH_BREAK.split(self.text)) if part]

    @cached_property
    def repeated_line_share(self) -> float:
        """Of the lines that are not blank, those that stood there before."""
        return 1 - len(set(self.lines)) / len(self.lines) if self.lines else 0.0

    @cached_property
    def repeated_paragraph_share(self) -> float:
        return 1 - len(set(self.paragraphs)) / len(self.paragraphs) if self.paragraphs else 0.0

    @cached_property
    def runs(self) -> WordRuns:
        """The words as numbers, for questions about n-grams."""
        return WordRuns(self.words)

    @property
    def vocabulary(self) -> Collection[str]:
        """The different words."""
        return self.runs.vocabulary

    @cached_property
    def languages(self) -> frozenset[str]:
        """ISO 639-1 codes of the languages that the text could be in."""
        return languages_of(self.text)

    @cached_property
    def longest_line(self) -> int:
        """Characters of the longest line, white space included."""
        return max(map(len, self.text.splitlines()), default=0)

    @cached_property
    def mean_word_length(self) -> float:
        return self.visible / len(self.words) if self.words else 0.0

    @cached_property
    def digit_share(self) -> float:
        """Digits 0 to 9 among the characters that are not white space."""
        return sum(map(self.text.count, "0123456789")) / self.visible if self.visible else 0.0


class Rule(ABC):
    """One bare rule. What it drops is counted and kept aside under `reason`."""

    reason: ClassVar[str]  # stable: statistics and tests use it as a key

    @abstractmethod
    def __call__(self, view: View) -> str | None:
        """None to keep the document; otherwise the detail: what was measured and what was wanted."""


class Cleaner(ABC):
    """Changes a text instead of dropping it. Cleaning a cleaned text changes nothing."""

    name: ClassVar[str]  # stable: edits are counted under it

    @abstractmethod
    def __call__(self, document: Document) -> tuple[str, int]:
        """The new text and the number of edits; 0 edits leave the text as it was."""

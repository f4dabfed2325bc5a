"""What a rule and a cleaner are, and the measurements that rules share."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from functools import cached_property
from typing import ClassVar

from revela.corpus.schema import PROSE_KINDS, Document

# Scripts that put no spaces between words: kana, Han, Thai, Lao, Myanmar, Khmer. Hangul writes spaces.
_UNSPACED_LETTER = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
_PARAGRAPH_BREAK = re.compile(r"\n\s*\n")
_DIGITS = re.compile(r"\d+")


class View:
    """A document as rules look at it: each measurement is taken once, when the first rule asks for it.

    A word is a run of non-space characters; in scripts without spaces between words (Chinese, Japanese,
    Thai, Lao, Khmer, Burmese) each letter counts as a word.
    """

    def __init__(self, document: Document) -> None:
        self.document = document
        self.text = document.text

    @property
    def is_prose(self) -> bool:
        """Whether lines are paragraphs and sentences rather than statements."""
        return self.document.kind in PROSE_KINDS

    @cached_property
    def words(self) -> list[str]:
        if self.has_unspaced_script:
            return _UNSPACED_LETTER.sub(r" \g<0> ", self.text).split()
        return self.text.split()

    @cached_property
    def has_unspaced_script(self) -> bool:
        """Whether a letter of a script without spaces occurs."""
        return not self.text.isascii() and _UNSPACED_LETTER.search(self.text) is not None

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
    def longest_line(self) -> int:
        """Characters of the longest line, white space included."""
        return max(map(len, self.text.splitlines()), default=0)

    @cached_property
    def mean_word_length(self) -> float:
        return self.visible / len(self.words) if self.words else 0.0

    @cached_property
    def digit_share(self) -> float:
        """Digits among the characters that are not white space."""
        return sum(map(len, _DIGITS.findall(self.text))) / self.visible if self.visible else 0.0


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

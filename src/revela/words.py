"""What a word is: the one place where it is said. Everything that counts or compares words asks here.

There are several answers because there are several questions; which is meant, the names say:

- :func:`tokens`: what white space separates, each letter alone where a script writes no spaces. How long
  a text is for a reader: the filters' measures.
- :func:`word_runs`: runs of letters, digits and underscores. What must stay equal when a text is copied:
  overlaps with benchmarks, near-duplicates (:mod:`revela.corpus.word_hashes` finds the same without one
  object a word).
- :func:`subwords` and :func:`split_identifiers`: identifiers taken apart into the words that their author
  put together. What a text is about: relatedness of chunks, and BM25 on code.
"""

from __future__ import annotations

import functools
import re
import sys

import numpy as np

# Scripts that put no spaces between words: kana, Han, Thai, Lao, Myanmar, Khmer. Hangul writes spaces.
_UNSPACED_LETTER = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
_TOKEN = re.compile(r"\S+")
_WORD_RUN = re.compile(r"\w+")
_IDENTIFIER = re.compile(r"[^\W\d]\w*")
# Letters that `subwords` takes one by one. Hangul is among them, Thai is not: unlike `_UNSPACED_LETTER`.
_ALONE = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"


def _parts(but: str = "") -> str:
    """Pattern of an identifier's words: runs of capitals before a capitalised word (HTTP|Response), words
    with or without one capital (get|Name, file_name), numbers.

    Args:
        but: letters that no word of several letters has, as in a character class.
    """
    lower = rf"[^\W\dA-Z_{but}]"
    return rf"[A-Z]+(?!{lower})|[A-Z]?{lower}+|\d+"


_IDENTIFIER_PART = re.compile(_parts())
_SUBWORD = re.compile(rf"{_parts(_ALONE)}|[{_ALONE}]")

# Bits of a character's class; a word of a splitting is a longest run of characters with its bit.
PARTS = 1  # letters and digits, ``[^\W_]+``: identifiers are taken apart at underscores
WORDS = 2  # ``\w+``
TOKENS = 4  # whatever white space separates, as `str.split` does


def tokens(text: str) -> list[str]:
    """What white space separates; letters of scripts without spaces between words each alone.

    >>> tokens("max_value = 3; 東京")
    ['max_value', '=', '3;', '東', '京']
    """
    return _UNSPACED_LETTER.sub(r" \g<0> ", text).split() if has_unspaced_script(text) else text.split()


def has_unspaced_script(text: str) -> bool:
    """Whether a letter of a script without spaces between words occurs."""
    return not text.isascii() and _UNSPACED_LETTER.search(text) is not None


def token_spans(text: str) -> list[tuple[int, int]]:
    """First character, and one past the last, of what white space separates."""
    return [match.span() for match in _TOKEN.finditer(text)]


def word_runs(text: str) -> list[str]:
    """Runs of letters, digits and underscores, of any script.

    >>> word_runs("max_value = 3; 東京")
    ['max_value', '3', '東京']
    """
    return _WORD_RUN.findall(text)


def subwords(text: str) -> list[str]:
    """The words of a text in lower case; identifiers are split into theirs, Han, kana, Hangul into letters.

    >>> subwords("getHTTPResponse(file_name2)")
    ['get', 'http', 'response', 'file', 'name', '2']
    """
    return [word.lower() for word in _SUBWORD.findall(text)]


def split_identifiers(text: str) -> str:
    """Replace every compound identifier by its words: snake_case -> snake case, camelCase -> camel Case."""
    return _IDENTIFIER.sub(lambda match: " ".join(_IDENTIFIER_PART.findall(match[0])), text)


@functools.cache
def character_classes() -> np.ndarray:
    """(0x110000,) uint8: the bits of every character, as this Python's own `re` and `str` see them."""
    characters = map(chr, range(sys.maxunicode + 1))
    classes = np.fromiter(
        (PARTS | WORDS if one.isalnum() else 0 if one.isspace() else TOKENS for one in characters),
        np.uint8,
        sys.maxunicode + 1,
    )
    classes[ord("_")] = WORDS
    classes[classes > 0] |= TOKENS
    return classes

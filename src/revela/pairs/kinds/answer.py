"""Question -> answer: threads of forums, and questions with answers below them in any text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from revela.corpus.schema import PROSE_KINDS, Document
from revela.pairs.pair import Found, one_line
from revela.pairs.sections import metadata_of, passages

_ASKED = re.compile(
    r"(?m)^[ \t]*(?:\*\*|__)?(?:Q|Question)[ \t]*(?:\d+[ \t]*)?[:.)][ \t]*(?:\*\*|__)?[ \t]*(?=\S)"
)
_ANSWERED = re.compile(
    r"(?m)^[ \t]*(?:\*\*|__)?(?:A|Answer)[ \t]*(?:\d+[ \t]*)?[:.)][ \t]*(?:\*\*|__)?[ \t]*"
)


def pairs_of(document: Document) -> Iterator[Found]:
    """A thread's title -> each of its answers; ``Q: …`` -> ``A: …``."""
    answers = metadata_of(document).get("answers")
    if isinstance(answers, list) and document.title:
        for text in _answers(document.text, answers):
            if (first := next(passages(text), None)) is not None:
                yield Found(one_line(document.title), first)
    if document.kind in PROSE_KINDS:
        yield from _asked_and_answered(document.text)


def _answers(text: str, answers: list[object]) -> Iterator[str]:
    """The answers of a thread, each found again by what it begins with."""
    begins = [answer.get("begins") for answer in answers if isinstance(answer, dict)]
    # From the last to the first: an answer may begin with words of the question, or of an earlier answer.
    # Filters may have changed the text since: an answer that is not found again is passed over.
    posts = f"\n\n{text}"
    places = [len(text)]
    for begin in reversed(begins):
        at = posts.rfind(f"\n\n{begin}", 0, places[-1] + 2) if begin else -1
        if at >= 0:
            places.append(at)
    for start, end in pairwise(reversed(places)):
        yield text[start:end].strip()


def _asked_and_answered(text: str) -> Iterator[Found]:
    asked = list(_ASKED.finditer(text))
    for number, question in enumerate(asked):
        end = asked[number + 1].start() if number + 1 < len(asked) else len(text)
        answer = _ANSWERED.search(text, question.end(), end)
        first = next(passages(text[answer.end() : end]), None) if answer else None
        if answer is not None and first is not None:
            yield Found(one_line(text[question.end() : answer.start()]).strip("*_ "), first)

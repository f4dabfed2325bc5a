"""Text that says the same again and again, in lines, paragraphs and n-grams."""

from __future__ import annotations

import random

import pytest
from corpora import document, prose
from rule_limits import assert_limit

from revela.corpus.filters.base import Rule, View
from revela.corpus.filters.max_repeated_line_characters import MaxRepeatedLineCharacters
from revela.corpus.filters.max_repeated_line_share import MaxRepeatedLineShare
from revela.corpus.filters.max_repeated_ngram_characters import MaxRepeatedNgramCharacters
from revela.corpus.filters.max_repeated_paragraph_characters import MaxRepeatedParagraphCharacters
from revela.corpus.filters.max_repeated_paragraph_share import MaxRepeatedParagraphShare
from revela.corpus.filters.max_repeated_prose_line_share import MaxRepeatedProseLineShare
from revela.corpus.filters.max_top_ngram_characters import MaxTopNgramCharacters
from revela.corpus.filters.ngrams import WordRuns, repeated_share, top_share

WORDS = prose(100).split()
PHRASE = "one two three four five"


def text(*parts: str) -> str:
    return " ".join(parts)


CASES: list[tuple[Rule, str, str, str, str]] = [
    # rule, its reason, kept, dropped, what the detail says
    (MaxRepeatedLineShare(0.4), "repeated_lines", "a\n\nb\n\nc\n  a", "a\na\na\nb\n",
     "repeated line share 0.50, at most 0.4 wanted"),
    (MaxRepeatedProseLineShare(0.3), "repeated_prose_lines", "a\nb\nc\na", "a\nb\na",
     "repeated line share 0.33, at most 0.3 wanted"),
    (MaxRepeatedLineCharacters(0.25), "repeated_line_characters", "aa\nbb\ncc\naa", "aaaa\nbb\ncc\naaaa",
     "characters in repeated lines 0.33, at most 0.25 wanted"),
    (MaxRepeatedParagraphShare(0.3), "repeated_paragraphs", "a\nx\n\nb\n\nc\n\na\nx", "a\nx\n\nb\n \na\nx",
     "repeated paragraph share 0.33, at most 0.3 wanted"),
    (MaxRepeatedParagraphCharacters(0.25), "repeated_paragraph_characters", "aa\n\nbb\n\ncc\n\naa",
     "aaaa\n\nbb\n\ncc\n\naaaa", "characters in repeated paragraphs 0.33, at most 0.25 wanted"),
    (MaxTopNgramCharacters({2: 0.2}), "frequent_ngram", text(*WORDS[:80], *["buy now"] * 10),
     text(*WORDS[:60], *["buy now"] * 15), "share 0.29 of the 2-gram 'buy now', at most 0.2 wanted"),
    (MaxRepeatedNgramCharacters({5: 0.15}), "repeated_ngrams", text(*WORDS[:85], *[PHRASE] * 4),
     text(*WORDS[:60], *[PHRASE] * 4), "share 0.18 in repeated 5-grams, at most 0.15 wanted"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "reason", "kept", "dropped", "detail"), CASES)
def test_a_rule_keeps_up_to_its_limit_and_says_what_it_measured_beyond(
    rule: Rule, reason: str, kept: str, dropped: str, detail: str
) -> None:
    assert_limit(rule, reason, document(kept), document(dropped), detail)


@pytest.mark.parametrize(("rule", "dropped"), [(case[0], case[3]) for case in CASES[1:]])
def test_code_and_technical_text_have_more_room(rule: Rule, dropped: str) -> None:
    assert rule(View(document(dropped, kind="python"))) is None
    assert rule(View(document(f"{dropped}\n\n`{'_' * 20}`"))) is None


def test_few_words_say_nothing_about_n_grams() -> None:
    short = View(document("buy now " * 24))
    assert MaxTopNgramCharacters({2: 0.2})(short) is None
    assert MaxRepeatedNgramCharacters({5: 0.15})(short) is None


def test_what_is_said_twice_is_not_said_over_and_over() -> None:
    name = "Donaudampfschifffahrtsgesellschaftskapitänswitwenrentenversicherung AG"
    assert MaxTopNgramCharacters({2: 0.2})(View(document(text(*WORDS[:48], name, "and", name)))) is None
    assert MaxTopNgramCharacters({2: 0.2})(View(document(text(*WORDS[:48], name, "and", name, "or", name))))


def test_longer_runs_are_asked_when_shorter_ones_pass() -> None:
    rule = MaxRepeatedNgramCharacters({5: 1.0, 10: 0.1})
    assert "repeated 10-grams" in rule(View(document(text(*WORDS, *WORDS[:20]))))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n", [2, 3, 5])
def test_shares_equal_a_plain_count(seed: int, n: int) -> None:
    words = random.Random(seed).choices(["a", "bb", "ccc", "dddd", "x y"[:1]], k=60)
    runs = [tuple(words[start : start + n]) for start in range(len(words) - n + 1)]
    total = sum(len(word) + 1 for word in words)

    covered = {start + offset for start, run in enumerate(runs) if run in runs[:start] for offset in range(n)}
    expected = sum(len(words[place]) + 1 for place in covered) / total
    assert repeated_share(WordRuns(words), n) == pytest.approx(expected)

    most = max(map(runs.count, runs))
    expected = max(most * sum(len(word) + 1 for word in run) for run in runs if runs.count(run) == most)
    share, first = top_share(WordRuns(words), n)
    assert share == pytest.approx(expected / total)
    assert runs.count(runs[first]) == most


def test_a_text_shorter_than_the_run_repeats_nothing() -> None:
    assert repeated_share(WordRuns(["a"]), 5) == 0
    assert top_share(WordRuns([]), 2) == (0.0, 0)

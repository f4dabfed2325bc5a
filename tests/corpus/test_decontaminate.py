"""Benchmarks stay out of the corpus."""

from __future__ import annotations

import pickle
import random
import re
import unicodedata

from corpora import document
from near_duplicate_reference import real_texts
from other_processes import printed_by_other_processes
from protected import FUNCTION, overlap

from revela.corpus.decontaminate import BenchmarkNearDuplicate, BenchmarkOverlap, protection_rules
from revela.corpus.filters.base import View
from revela.corpus.schema import Document
from revela.settings import DecontaminationSettings

WORDS = [f"word{number}" for number in range(14)]


def test_a_document_with_a_shared_run_is_dropped_with_the_run_as_detail() -> None:
    copied = "Before. " + ", ".join(WORDS[:13]).upper() + "; after."
    assert BenchmarkOverlap.reason == "benchmark_overlap"
    assert overlap(" ".join(WORDS), copied) == "shared: " + " ".join(WORDS[:13])


def test_one_word_less_is_kept() -> None:
    assert overlap(" ".join(WORDS), "zero " + " ".join(WORDS[:12]) + " other") is None


def test_a_copied_function_is_found_whatever_its_layout() -> None:
    copied = "class Deck:\n" + "\n".join(f"        {line}" for line in FUNCTION.splitlines()) + "\n    pass\n"
    assert overlap(FUNCTION, copied)
    assert overlap(FUNCTION, FUNCTION.replace("items", "cards")) is None


def test_a_protected_text_of_8_to_12_words_matches_as_a_whole() -> None:
    for count in range(8, 13):
        assert overlap(" ".join(WORDS[:count]), "zero " + " ".join(WORDS[: count + 1]))
        assert overlap(" ".join(WORDS[:count]), " ".join(WORDS[: count - 1])) is None


def test_a_protected_text_below_8_words_is_not_used() -> None:
    assert overlap(" ".join(WORDS[:7]), " ".join(WORDS[:9])) is None


def test_without_protected_texts_everything_is_kept() -> None:
    assert overlap([], FUNCTION) is None
    assert BenchmarkNearDuplicate([], 0.5, 3)(View(document(FUNCTION))) is None


def test_a_run_of_parts_of_identifiers_is_shared() -> None:
    protected = "one_two_three four_five_six seven_eight_nine ten_eleven_twelve thirteen"
    assert overlap(protected, protected.replace("_", " "))
    assert overlap(protected.replace("_", " "), protected)


def test_a_run_of_tokens_is_shared_though_it_has_few_words() -> None:
    protected = "a = b + c * d - e / f % g"
    assert len(protected.split()) == 13
    assert overlap(protected, f"so {protected} then")
    assert overlap(protected, protected.replace("*", "/")) is None


def test_underscores_that_stand_alone_are_words() -> None:
    protected = "for _ in x _ y _ z _ w _ v _"
    assert overlap(protected, f"{protected} end")
    assert overlap(protected, protected.replace("z _ w", "z w")) is None


def test_layout_without_a_letter_or_digit_is_no_overlap() -> None:
    rule = "| " + "--- | " * 20
    assert overlap(f"{rule}\n" + " ".join(WORDS), f"Other table\n{rule}\nthat is all") is None


def test_title_and_text_are_searched_together() -> None:
    judged = Document(
        id="a", title=" ".join(WORDS[:5]), text=" ".join(WORDS[5:13]), source="folder:a", kind="text"
    )
    assert BenchmarkOverlap([" ".join(WORDS)], 13)(View(judged))


def test_compatible_characters_are_the_same() -> None:
    plain = "the final office file is a five hundred page classified flow chart of waffles"
    ligatures = plain.replace("fi", "\ufb01").replace("fl", "\ufb02").replace(" ", "\u00a0")
    wide = "".join(chr(ord(one) + 0xFEE0) if one.isalpha() else one for one in plain)
    for protected in (plain, ligatures, wide):
        for text in (plain, ligatures, wide):
            assert overlap(protected, text), (protected, text)
    assert unicodedata.normalize("NFKC", wide) == plain


SPLITTINGS = (
    lambda text: re.findall(r"\w+", text.lower()),
    lambda text: re.findall(r"[^\W_]+", text.lower()),
    lambda text: text.lower().split(),
)


def naive_runs(text: str, splitting) -> set[tuple[str, ...]]:
    words = splitting(text)
    runs = {tuple(words[start : start + 13]) for start in range(len(words) - 12)}
    return {run for run in runs if any(character.isalnum() for word in run for character in word)}


def test_what_passes_shares_no_run_of_13_words_however_words_are_told_apart() -> None:
    """Real texts with tables, code and formulas; a third of them hold a piece of a benchmark text."""
    generator = random.Random(0)
    texts = real_texts(60)
    odd = [
        "a",
        "=",
        "b",
        "+",
        "_",
        ";",
        "|",
        "---",
        "__x__",
        "y_z",
        "1",
        "½",
        "é",
        "é",
        "->",
        "{",
        "}",
        "not_a_word",
        "_",
        "_",
        "=",
    ]

    def woven(text: str) -> str:
        """With odd words strewn in, so that the three splittings differ."""
        words = text.split(" ")
        for _ in range(generator.randrange(40)):
            words.insert(generator.randrange(len(words)), generator.choice(odd))
        return " ".join(words)

    protected = [woven(text) for text in texts[:200]]
    documents = [woven(text) for text in texts[200:600]]
    for number in range(0, 400, 3):
        words = generator.choice(protected).split()
        start = generator.randrange(len(words) - 10)
        documents[number] += " " + " ".join(words[start : start + generator.randrange(5, 25)])
    rule = BenchmarkOverlap(protected, 13)
    verdicts = [rule(View(document(text))) is None for text in documents]
    assert 50 < verdicts.count(False) < 140
    for splitting in SPLITTINGS:
        leaked = set().union(*(naive_runs(text, splitting) for text in protected))
        for text, kept in zip(documents, verdicts, strict=True):
            if kept:
                assert not naive_runs(text, splitting) & leaked
    # And nothing goes without a reason.
    shared = [
        any(
            naive_runs(text, splitting) & set().union(*(naive_runs(one, splitting) for one in protected))
            for splitting in SPLITTINGS
        )
        for text, kept in zip(documents, verdicts, strict=True)
        if not kept
    ]
    assert all(shared)


def changed(text: str, every: int) -> str:
    """Every so many-th word replaced."""
    return " ".join(f"other{at}" if at % every == 0 else word for at, word in enumerate(text.split()))


def test_a_passage_with_every_tenth_word_changed_is_found_within_a_long_document() -> None:
    texts = real_texts()
    rule = BenchmarkNearDuplicate(texts[:50], 0.5, 3)
    long = " ".join(texts[60:100])
    copied = f"{long} {changed(texts[7], 10)} {long}"
    assert overlap(texts[7], copied) is None, "no run of 13 words is left"
    assert rule.reason == "benchmark_near_duplicate"
    assert rule(View(document(copied))).startswith("0.")
    assert rule(View(document(long))) is None


def test_containment_is_counted_exactly() -> None:
    """10 of the 20 shingles of the second text, and a share just above that is not reached."""
    words = [f"w{number}" for number in range(22)]
    protected = [" ".join(f"v{number}" for number in range(30)), " ".join(words)]
    text = View(document("x y " + " ".join(words[:12]) + " z"))
    assert BenchmarkNearDuplicate(protected, 0.5, 3)(text).startswith("0.50 of the shingles of 'w0 w1")
    assert BenchmarkNearDuplicate(protected, 0.51, 3)(text) is None


def test_protected_texts_under_20_words_are_not_looked_for_by_shingles() -> None:
    words = [f"w{number}" for number in range(20)]
    assert BenchmarkNearDuplicate([" ".join(words[:19])], 0.5, 3)(View(document(" ".join(words)))) is None
    assert BenchmarkNearDuplicate([" ".join(words)], 0.5, 3)(View(document(" ".join(words))))


def test_rules_are_built_from_the_settings() -> None:
    rules = protection_rules(DecontaminationSettings(), [FUNCTION])
    assert [type(rule) for rule in rules] == [BenchmarkOverlap, BenchmarkNearDuplicate]
    assert protection_rules(DecontaminationSettings(words=None, containment=None), [FUNCTION]) == []


def test_rules_sent_to_another_process_answer_the_same() -> None:
    texts = real_texts()
    for rule in protection_rules(DecontaminationSettings(), texts[:100]):
        sent = pickle.dumps(rule)
        assert len(sent) < 4 * sum(map(len, texts[:100]))
        copy = pickle.loads(sent)
        for text in texts[95:105]:
            assert copy(View(document(text))) == rule(View(document(text)))


def test_the_verdict_does_not_depend_on_the_process() -> None:
    program = (
        "import hashlib, pickle;"
        "from revela.corpus.decontaminate import BenchmarkOverlap, BenchmarkNearDuplicate;"
        "t = [' '.join(map(str, range(20)))];"
        "print([hashlib.sha256(pickle.dumps(r)).hexdigest()"
        " for r in (BenchmarkOverlap(t, 13), BenchmarkNearDuplicate(t, 0.5, 3))])"
    )
    outputs = printed_by_other_processes(program)
    assert len(outputs) == 1, outputs

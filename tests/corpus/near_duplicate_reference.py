"""The definition of near-duplicates, written out, and texts to try it on."""

from __future__ import annotations

import pydoc_data.topics
import random
import re

SHINGLE_WORDS = 5


def plain_shingles(text: str, words: int = SHINGLE_WORDS) -> set[tuple[str, ...]]:
    """Every run of so many words, as words; of a shorter text the whole."""
    found = re.findall(r"\w+", text.lower())
    length = min(words, len(found))
    return (
        {tuple(found[start : start + length]) for start in range(len(found) - length + 1)} if found else set()
    )


def plain_jaccard(one: set, other: set) -> float:
    return len(one & other) / len(one | other) if one | other else 0.0


def plain_near_duplicates(texts: list[str], jaccard: float) -> list[int]:
    """All pairs, exact, greedy in order."""
    sets = [plain_shingles(text) for text in texts]
    verdicts: list[int] = []
    for later, shingles in enumerate(sets):
        kept = (number for number in range(later) if verdicts[number] < 0)
        similar = (number for number in kept if plain_jaccard(sets[number], shingles) >= jaccard)
        verdicts.append(next(similar, -1))
    return verdicts


def real_texts(words: int = 120) -> list[str]:
    """The language reference that Python brings along, in passages of so many words."""
    passages = []
    for topic in sorted(pydoc_data.topics.topics):
        found = pydoc_data.topics.topics[topic].split()
        passages += [" ".join(found[at : at + words]) for at in range(0, len(found) - words + 1, words)]
    return list(dict.fromkeys(passages))


def with_planted(texts: list[str], count: int, seed: int = 0) -> list[str]:
    """`texts` shuffled with copies in which 0 to 8 % of the words are others: Jaccard about 0.5 to 1.0."""
    generator = random.Random(seed)
    planted = []
    for number in range(count):
        words = generator.choice(texts).split()
        for place in generator.sample(range(len(words)), round(len(words) * 0.08 * number / count)):
            words[place] = f"other{generator.randrange(10**6)}"
        planted.append(" ".join(words))
    mixed = texts + planted
    generator.shuffle(mixed)
    return mixed

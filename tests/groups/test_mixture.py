"""Strategies side by side, with shares that hold."""

from __future__ import annotations

import numpy as np
import pytest
from memory_store import MemoryStore, numbered

from revela.errors import RevelaError
from revela.groups.caps import draw_groups, quotas
from revela.groups.formed import JOINED, RANDOM, WHOLE_DOCUMENT, Formed
from revela.groups.mixture import dealing, form_mixture
from revela.groups.pipeline import STRATEGIES
from revela.settings import BatchesSettings

DOCUMENTS = [
    numbered(f"{source[-1]}{number}", 4, source)
    for source, count in (("folder:code", 60), ("folder:wiki", 240))
    for number in range(count)
]
STORE = MemoryStore(DOCUMENTS)


def mixture(*components: tuple[str, float, list[str]]) -> BatchesSettings:
    named = [
        {"strategy": strategy, "weight": weight, "sources": sources}
        for strategy, weight, sources in components
    ]
    return BatchesSettings(strategy="mixture", mixture=named, group_size=4)


def drawn(settings: BatchesSettings, store: MemoryStore = STORE, seed: int = 0) -> Formed:
    formed = form_mixture(store, store.members, settings, seed, STRATEGIES)
    formed.check_books(store.members)
    weights = [component.weight for component in settings.mixture]
    result = draw_groups(formed, weights, settings.max_groups, seed)
    result.check_books(store.members)
    return result


def test_weights_are_shares_of_the_groups_to_within_one() -> None:
    formed = drawn(mixture(("document", 3, ["*"]), ("random", 1, ["*"])))
    have = np.bincount(formed.component)
    assert abs(have[0] - 0.75 * have.sum()) < 1
    assert have.sum() > 0.85 * len(STORE) / 4
    kinds = {component: set() for component in (0, 1)}
    for kind, component in zip(formed.kinds, formed.component, strict=True):
        kinds[component].add(kind)
    assert kinds[0] <= {WHOLE_DOCUMENT, JOINED} and kinds[1] == {RANDOM}


def test_components_keep_to_their_sources_and_scarce_text_goes_where_it_is_needed() -> None:
    formed = drawn(mixture(("random", 1, ["*:code"]), ("random", 1, ["*"])))
    sources = [set(STORE.source[group].tolist()) for group in formed.groups[formed.component == 0]]
    assert all(found == {0} for found in sources)
    # All 60 documents of code, and as many groups of the others.
    assert np.bincount(formed.component).tolist() == [60, 60]
    assert formed.reasons()["mixture_weights"] == 180 * 4


def test_a_limit_keeps_the_shares() -> None:
    settings = mixture(("document", 3, ["*"]), ("random", 1, ["*"])).model_copy(update={"max_groups": 40})
    assert np.bincount(drawn(settings).component).tolist() == [30, 10]


def test_the_order_is_shuffled_across_components_and_reproducible() -> None:
    settings = mixture(("document", 1, ["*"]), ("random", 1, ["*"]))
    formed = drawn(settings)
    changes = int((np.diff(formed.component) != 0).sum())
    assert changes > len(formed.groups) / 4
    assert drawn(settings).groups.tolist() == formed.groups.tolist()
    assert drawn(settings, seed=1).groups.tolist() != formed.groups.tolist()


def test_a_document_stays_with_its_component_when_others_are_added() -> None:
    settings = mixture(("random", 1, ["*"]), ("random", 1, ["*"]))

    def component_of(store: MemoryStore) -> dict[str, int]:
        formed = form_mixture(store, store.members, settings, 0, STRATEGIES)
        return {
            name: int(component)
            for group, component in zip(formed.groups, formed.component, strict=True)
            for name in store.document_ids(group)
        }

    before = component_of(STORE)
    after = component_of(MemoryStore([*DOCUMENTS, numbered("late", 4, "folder:wiki")]))
    assert {name: after.get(name, number) for name, number in before.items()} == before


def test_sources_of_no_component_are_counted() -> None:
    formed = drawn(mixture(("random", 1, ["folder:code"])))
    assert formed.reasons() == {"no_component": 960}


def test_dealing_meets_the_weights_where_the_sources_allow_it() -> None:
    settings = mixture(("random", 1, ["*:code"]), ("random", 3, ["*"]))
    eligible = np.array([[True, False], [True, True]])
    shares = dealing(np.array([1000, 1000]), eligible, settings)
    assert shares.sum(axis=0).tolist() == [1.0, 1.0]
    assert (shares @ [1000, 1000]).tolist() == pytest.approx([500, 1500], abs=5)


@pytest.mark.parametrize(
    ("have", "weights", "most", "expected"),
    [
        ([10], [5.0], None, [10]),
        ([10], [5.0], 3, [3]),
        ([10, 100], [1.0, 3.0], None, [10, 30]),
        ([30, 70], [0.3, 0.7], None, [30, 70]),
        ([5, 5, 5], [1.0, 1.0, 1.0], 10, [4, 3, 3]),
        ([0, 9], [1.0, 1.0], None, [0, 0]),
    ],
)
def test_quotas(have: list[int], weights: list[float], most: int | None, expected: list[int]) -> None:
    assert quotas(np.array(have), weights, most).tolist() == expected


def test_patterns_that_match_nothing_are_named_with_the_sources_there_are() -> None:
    with pytest.raises(
        RevelaError, match=r"mixture\[1\]\.sources: hub:\* matches none .*folder:code, folder:wiki"
    ):
        drawn(mixture(("random", 1, ["*"]), ("random", 1, ["hub:*"])))


def test_a_component_without_a_group_is_an_error() -> None:
    few = MemoryStore([numbered("a", 3, "folder:code"), *DOCUMENTS[100:]])
    with pytest.raises(RevelaError, match=r"mixture\[0\] \(document over \*:code\): no group of 4"):
        drawn(mixture(("document", 1, ["*:code"]), ("random", 1, ["*"])), few)

"""Which pairs a phase with `pairs` sees, and when."""

from __future__ import annotations

from collections import Counter

import pytest
from collating import phase
from pair_folders import SHARES, is_held_out, made_up, write_pairs

from revela.errors import RevelaError
from revela.pairs.reading import Pairs
from revela.training.group_slice import StepChunks
from revela.training.pair_slice import PairSlice, as_chunk, pairs_consumed
from revela.training.views import contrastive_views


def of(pairs: int):
    return phase(["retriever"], contrastive=1.0, changes={"pairs": pairs})


@pytest.fixture(scope="module")
def trained(pairs_folder) -> Pairs:
    return Pairs(pairs_folder).trained()


def items(trained: Pairs, pairs: int, length: int, start: int = 0, seed: int = 0) -> list[StepChunks]:
    found = PairSlice(trained, of(pairs), start, length, seed)
    return [found[index] for index in range(len(found))]


def seen(some: list[StepChunks]) -> list[tuple[str, str]]:
    return [(chunk.kind, chunk.text) for item in some for chunk in item.chunks]


def test_query_and_passage_take_the_places_of_a_chunks_first_part_and_its_rest():
    pair = made_up()[0]
    chunk = as_chunk(pair)
    assert (chunk.query, chunk.document_id, chunk.source, chunk.kind) == (
        "the red house", "red-house", "s", "title"
    )  # fmt: skip
    assert list(contrastive_views(StepChunks([chunk], [], 0), "halves", 0)) == [(pair.query, pair.passage)]


def test_items_are_as_large_as_asked_for_with_kinds_in_their_shares(trained):
    some = items(trained, pairs=8, length=6)
    assert [len(item.chunks) for item in some] == [8] * 6
    for item in some:
        assert Counter(chunk.kind for chunk in item.chunks) == {
            kind: 8 * share for kind, share in SHARES.items()
        }
        assert (item.partners, item.turn) == ([], 0)


def test_nothing_that_is_held_out_is_seen_and_everything_else_before_anything_again(trained):
    wanted = [pair for pair in made_up() if not is_held_out(pair)]
    for kind in SHARES:
        of_kind = [f"{pair.query}{pair.passage}" for pair in wanted if pair.kind == kind]
        found = [text for one, text in seen(items(trained, pairs=8, length=16)) if one == kind]
        assert sorted(found[: len(of_kind)]) == sorted(of_kind)
        assert set(found) == set(of_kind)


def test_pairs_of_an_item_are_of_different_documents(trained):
    for item in items(trained, pairs=8, length=12):
        documents = [chunk.document_id for chunk in item.chunks]
        assert len(set(documents)) == len(documents)


@pytest.mark.parametrize("first", [4, 6])
def test_items_after_those_of_another_size_are_whole(trained, first):
    """What comes together is told apart by document, wherever an earlier phase ended."""
    for item in items(trained, pairs=8, length=6, start=3 * first):
        documents = [chunk.document_id for chunk in item.chunks]
        assert len(documents) == 8 and len(set(documents)) == 8


def test_a_phase_goes_on_where_the_one_before_it_ended(trained):
    whole = items(trained, pairs=8, length=6)
    moved = pairs_consumed(of(8).model_copy(update={"steps": 2}), groups_per_step=2)
    assert moved == 32
    assert seen(items(trained, pairs=8, length=2, start=moved)) == seen(whole[4:])
    assert pairs_consumed(phase(["retriever"], contrastive=1.0), groups_per_step=2) == 0


def test_the_seed_decides_the_order_and_nothing_else(trained):
    assert seen(items(trained, 8, 6)) == seen(items(trained, 8, 6))
    # As many titles as there are: each once, in whatever order.
    one, other = (
        [text for kind, text in seen(items(trained, 8, 8, seed=seed)) if kind == "title"] for seed in (0, 1)
    )
    assert one != other and sorted(one) == sorted(other)


@pytest.mark.parametrize("index", [-1, 3])
def test_there_is_no_item_beyond_the_last(trained, index):
    with pytest.raises(IndexError):
        PairSlice(trained, of(8), 0, 3, 0)[index]


def test_without_pairs_the_stage_that_finds_them_is_named(groups_folder):
    with pytest.raises(RevelaError, match=r"no pairs-\*\.parquet. Run the stage build_batches first"):
        Pairs(groups_folder)


def test_few_pairs_come_again_rather_than_end(tmp_path):
    few = made_up()[:3]
    folder = write_pairs(tmp_path, few, {"title": 1.0}, lambda pair: False)
    some = items(Pairs(folder).trained(), pairs=2, length=6)
    assert [len(item.chunks) for item in some] == [2] * 6
    assert Counter(text for _, text in seen(some)) == {f"{pair.query}{pair.passage}": 4 for pair in few}


def test_a_phase_may_name_the_kinds_that_come_together(trained):
    kinds = list(SHARES)

    def drawn(related_kinds: list[str] | None, related_pairs: int = 4) -> list[tuple[str, str]]:
        changes = {"pairs": 8, "related_pairs": related_pairs, "related_kinds": related_kinds}
        some = PairSlice(trained, phase(["retriever"], contrastive=1.0, changes=changes), 0, 6, 0)
        return seen([some[index] for index in range(6)])

    assert drawn(None) == drawn(kinds), "all of them"
    assert drawn(["docstring"]) == drawn(None, related_pairs=1), "none that there is"
    assert drawn(kinds[:1]) not in (drawn(None), drawn(["docstring"]))


@pytest.mark.parametrize(
    "together", [{}, {"related_pairs": 2}, {"related_pairs": 2, "related_kinds": ["title"]}]
)
def test_kinds_may_each_have_items_of_their_own(trained, together):
    apart = phase(["retriever"], contrastive=1.0, changes={"pairs": 6, "mix_kinds": False, **together})
    some = PairSlice(trained, apart, 0, 20, 0)
    kinds = [{chunk.kind for chunk in some[n].chunks} for n in range(20)]
    assert Counter(next(iter(found)) for found in kinds if len(found) == 1) == {"title": 15, "heading": 5}


def test_what_the_language_model_reads_is_of_all_kinds(trained):
    beside = phase(
        ["retriever", "lm"], contrastive=1.0, revela=1.0,
        changes={"pairs": 16, "related_pairs": 8, "lm_pairs": 4, "rows": "parts"},
    )  # fmt: skip
    whole = PairSlice(trained, beside.model_copy(update={"lm_pairs": None}), 0, 12, 0)
    found = PairSlice(trained, beside, 0, 12, 0)
    assert [sorted(seen([found[n]])) for n in range(12)] == [sorted(seen([whole[n]])) for n in range(12)]
    read = Counter(chunk.kind for n in range(12) for chunk in found[n].chunks[:4])
    for kind, share in SHARES.items():
        assert read[kind] == pytest.approx(48 * share, abs=8)
    assert all(len({chunk.kind for chunk in found[n].chunks[:4]}) > 1 for n in range(0, 12, 11))

"""Which chunks a step sees."""

from __future__ import annotations

import pytest

from revela.groups.reading import Groups
from revela.settings import Phase
from revela.training.group_slice import GroupSlice, groups_consumed, spanned_order


@pytest.fixture
def groups(groups_folder) -> Groups:
    return Groups(groups_folder)


def phase(**fields) -> Phase:
    return Phase(
        name="x", train=["retriever"], terms={"contrastive": 1.0}, steps=6,
        learning_rate={"retriever": 1e-3}, **fields,
    )  # fmt: skip


def ids(chunks) -> list[str]:
    return [chunk.chunk_id for chunk in chunks]


def test_phases_continue_through_the_groups_and_begin_again_at_the_end(groups):
    part = GroupSlice(groups, phase(), start=len(groups) - 1, length=3)
    assert ids(part[0].chunks) == ids(groups[len(groups) - 1])
    assert ids(part[1].chunks) == ids(groups[0])
    assert len(part) == 3


def test_several_groups_are_contrasted_together(groups):
    part = GroupSlice(groups, phase(contrastive_groups=2), start=1, length=2)
    assert ids(part[0].chunks) == ids(groups[1]) + ids(groups[2])
    assert ids(part[1].chunks) == ids(groups[3 % len(groups)]) + ids(groups[4 % len(groups)])


@pytest.mark.parametrize("together", [1, 2])
def test_negatives_of_the_corpus_are_one_chunk_a_group_and_in_time_every_chunk_once(groups, together):
    size = groups.group_size
    part = GroupSlice(groups, phase(negatives="corpus", contrastive_groups=together), start=0, length=size)
    block = [groups[number % len(groups)] for number in range(together * size)]
    for item in range(size):
        assert len(part[item].chunks) == together * size
        for chunk, group in zip(ids(part[item].chunks), block, strict=True):
            assert chunk in ids(group)
    seen = sorted(chunk for item in range(size) for chunk in ids(part[item].chunks))
    assert seen == sorted(chunk for group in block for chunk in ids(group))


def test_a_chunk_and_its_partner_are_of_one_document_and_chunks_without_one_are_left_out(groups):
    settings = phase(negatives="corpus", views="document", contrastive_groups=2)
    part = GroupSlice(groups, settings, start=0, length=groups.group_size)
    members = {chunk.chunk_id: group for group in groups for chunk in group}
    seen = 0
    for step in (part[item] for item in range(len(part))):
        for chunk, partner in zip(step.chunks, step.partners, strict=True):
            assert chunk.document_id == partner.document_id and chunk != partner
            assert partner in members[chunk.chunk_id]
        seen += len(step.chunks)
    used = [chunk for number in range(2 * groups.group_size) for chunk in groups[number % len(groups)]]
    alone = [
        chunk
        for chunk in used
        if [other.document_id for other in members[chunk.chunk_id]].count(chunk.document_id) == 1
    ]
    assert seen == len(used) - len(alone)


def test_the_turn_counts_passes_through_the_corpus(groups):
    part = GroupSlice(groups, phase(), start=len(groups) - 1, length=2)
    assert [part[0].turn, part[1].turn] == [0, 1]


def test_a_phase_moves_on_by_all_groups_that_its_steps_contrast():
    assert groups_consumed(phase(contrastive_groups=3), groups_per_step=2) == 6 * 2 * 3


@pytest.mark.parametrize("fields", [{"negatives": "corpus"}, {"contrastive_groups": 2}])
def test_a_phase_that_reads_across_chunks_keeps_its_groups(fields):
    with pytest.raises(ValueError, match=f"`{next(iter(fields))}` is for phases whose only term"):
        Phase(
            name="x", train=["retriever", "lm"], terms={"contrastive": 1.0, "revela": 1.0}, steps=2,
            learning_rate={"retriever": 1e-3, "lm": 1e-3}, **fields,
        )  # fmt: skip


# --- groups that span processes ----------------------------------------------------------------------


def groups_formed(length: int, processes: int, together: int) -> list[tuple[int, ...]]:
    """The items that are one group: the n-th ones of the forwards that all processes take at one time."""
    order = spanned_order(length, processes, together)
    forwards = [order[first : first + together] for first in range(0, length, together)]
    turns = [forwards[first : first + processes] for first in range(0, len(forwards), processes)]
    return [group for turn in turns for group in zip(*turn, strict=True)]


@pytest.mark.parametrize("together", [1, 2, 3, 6])
@pytest.mark.parametrize("processes", [1, 2, 3])
def test_groups_that_span_processes_are_consecutive_items_whatever_a_forward_takes(processes, together):
    length = 36
    wanted = [tuple(range(first, first + processes)) for first in range(0, length, processes)]
    assert groups_formed(length, processes, together) == wanted


@pytest.mark.parametrize(("processes", "together"), [(1, 4), (3, 1)])
def test_the_order_is_the_items_own_where_there_is_nothing_to_keep_together(processes, together):
    assert spanned_order(12, processes, together) == list(range(12))


def test_every_item_is_taken_once():
    assert sorted(spanned_order(24, processes=2, together=3)) == list(range(24))

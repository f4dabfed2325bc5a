"""What the contrastive term brings together."""

from __future__ import annotations

import random

import pytest

from revela.groups.reading import Groups
from revela.training.group_slice import StepChunks
from revela.training.lexical import bm25_similarities
from revela.training.views import LONGEST, contrastive_views, crop


@pytest.fixture
def group(groups_folder):
    return Groups(groups_folder)[0]


def test_halves_are_the_query_and_the_rest(group):
    for chunk, (query, passage) in zip(
        group, contrastive_views(StepChunks(group, [], 0), "halves", 0), strict=True
    ):
        assert query + passage == chunk.text


def test_crops_are_whole_words_of_the_chunk_and_the_same_for_the_same_seed_and_turn(group):
    step = StepChunks(group, [], 0)
    found = list(contrastive_views(step, "crops", 0))
    for chunk, views in zip(group, found, strict=True):
        words = chunk.text.split()
        for view in views:
            assert view in chunk.text
            assert set(view.split()) <= set(words)
            assert 1 <= len(view.split()) <= max(1, round(LONGEST * len(words)))
    assert found == list(contrastive_views(step, "crops", 0))
    assert found != list(contrastive_views(step, "crops", 1))
    assert found != list(contrastive_views(StepChunks(group, [], 1), "crops", 0))


def test_every_part_of_a_chunk_can_be_cropped(group):
    draw = random.Random(0)
    crops = [crop(group[0], draw) for _ in range(300)]
    assert any(group[0].text.strip().startswith(one) for one in crops)
    assert any(group[0].text.strip().endswith(one) for one in crops)


def test_two_chunks_of_a_document_are_a_query_and_a_passage(group):
    step = StepChunks(group[:2], group[1:3], 0)
    assert list(contrastive_views(step, "document", 0)) == [
        (group[0].query, group[1].passage),
        (group[1].query, group[2].passage),
    ]


def test_bm25_puts_the_chunk_of_the_query_first_and_nothing_in_common_at_zero(group):
    found = bm25_similarities([chunk.query for chunk in group], [chunk.text for chunk in group])
    assert found.shape == (len(group), len(group))
    assert found.argmax(dim=1).tolist() == list(range(len(group)))
    assert found.min() >= 0 and found.max() <= 1 + 1e-6

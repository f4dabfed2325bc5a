"""Where a retriever sees pairs, so that those it takes for one another come together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pair_folders import made_up
from sentence_transformers import SentenceTransformer

from revela.modeling.retriever import Retriever
from revela.pairs.pair import Pair
from revela.training.seen_by import SeenBy

CPU = torch.device("cpu")


@pytest.fixture
def retriever(backbone_folder: Path) -> Retriever:
    return Retriever(backbone_folder / "retriever")


@pytest.fixture
def pairs() -> list[Pair]:
    return [pair for pair in made_up() if pair.kind == "title"]


def test_a_pair_is_where_its_query_is(retriever, backbone_folder, pairs, tmp_path):
    found = SeenBy(retriever, tmp_path, CPU)(pairs, 0)
    plain = SentenceTransformer(str(backbone_folder / "retriever"), device="cpu")
    wanted = plain.encode_query([pair.query for pair in pairs], normalize_embeddings=True)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)


def test_a_training_that_goes_on_sees_what_it_saw(retriever, pairs, tmp_path):
    first = SeenBy(retriever, tmp_path, CPU)(pairs, 0)
    for weight in retriever.parameters():
        weight.data.mul_(1.5)
    assert np.array_equal(SeenBy(retriever, tmp_path, CPU)(pairs, 0), first)
    assert not np.allclose(SeenBy(retriever, tmp_path / "anew", CPU)(pairs, 0), first, atol=1e-3)


def test_each_kind_is_seen_by_itself(retriever, pairs, tmp_path):
    others = [pair for pair in made_up() if pair.kind == "heading"]
    seen = SeenBy(retriever, tmp_path, CPU)
    assert len(seen(pairs, 0)) == len(pairs) and len(seen(others, 0)) == len(others)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["heading.npy", "title.npy"]


def test_a_long_prompt_leaves_as_many_tokens_to_the_text(retriever, pairs, tmp_path):
    retriever.encoder.prompts["query"] = "Given a title, find the text that it stands over, word for word: "
    seen = SeenBy(retriever, tmp_path, CPU)(pairs, 0)
    wanted = retriever.encoder.encode_query([pair.query for pair in pairs], normalize_embeddings=True)
    np.testing.assert_allclose(seen, wanted, rtol=0, atol=1e-5)

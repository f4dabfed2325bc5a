import numpy as np

from revela.evaluation.ranking import Ranker


def test_best_first_and_no_more_than_k():
    rank = Ranker(["a", "b", "c", "d"], k=3)
    assert list(rank(np.array([0.1, 0.4, 0.2, 0.3])).items()) == [("b", 0.4), ("d", 0.3), ("c", 0.2)]


def test_ties_go_to_the_larger_id_also_at_the_cut():
    ids = ["d2", "d10", "d1", "d3"]
    assert list(Ranker(ids, k=2)(np.zeros(4))) == ["d3", "d2"]
    assert list(Ranker(ids, k=3)(np.array([0.0, 1.0, 0.0, 0.0]))) == ["d10", "d3", "d2"]


def test_order_of_the_documents_does_not_matter():
    generator = np.random.default_rng(0)
    scores = generator.integers(0, 5, 200).astype(np.float32)
    ids = [f"d{index}" for index in range(200)]
    shuffled = generator.permutation(200)
    straight = Ranker(ids, k=50)(scores)
    other = Ranker([ids[index] for index in shuffled], k=50)(scores[shuffled])
    assert list(straight.items()) == list(other.items())
    assert list(straight) == sorted(ids, key=lambda key: (scores[ids.index(key)], key), reverse=True)[:50]


def test_fewer_documents_than_k():
    assert len(Ranker(["a", "b"], k=100)(np.array([1.0, 2.0]))) == 2

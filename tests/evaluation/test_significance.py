import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from revela.errors import RevelaError
from revela.evaluation.significance import bootstrap_interval, compare, holm, randomisation_p, t_test_p


def enumerated_p(differences: list[float]) -> float:
    """Twice the smaller tail over all sign patterns."""
    totals = [
        sum(sign * abs(value) for sign, value in zip(signs, differences, strict=True))
        for signs in itertools.product([1, -1], repeat=len(differences))
    ]
    observed = sum(differences)
    upper = sum(total >= observed - 1e-12 for total in totals) / len(totals)
    lower = sum(total <= observed + 1e-12 for total in totals) / len(totals)
    return min(1.0, 2 * min(upper, lower))


def table(values: dict[str, float]) -> pd.DataFrame:
    return pd.DataFrame({"query_id": list(values), "ndcg_at_10": list(values.values())})


def test_exact_example_by_hand():
    # 16 patterns of ±0.1 ±0.2 ±0.3 ±0.1; totals of at least 0.5: none flipped, or one of the two 0.1
    assert randomisation_p(np.array([0.1, 0.2, 0.3, -0.1]), resamples=1000, seed=0) == pytest.approx(
        2 * 3 / 16
    )


@pytest.mark.parametrize("seed", range(5))
def test_few_queries_are_enumerated(seed: int):
    differences = np.random.default_rng(seed).normal(0.1, 0.3, 9)
    p = randomisation_p(differences, resamples=512, seed=0)
    assert p == pytest.approx(enumerated_p(differences.tolist()))


def test_drawn_signs_agree_with_the_enumeration():
    differences = np.random.default_rng(1).normal(0.12, 0.3, 12)
    drawn = randomisation_p(differences, resamples=4000, seed=0)
    # 4095 is just below 2^12, so this is drawn, not enumerated; 4 standard errors of a tail
    exact = enumerated_p(differences.tolist())
    assert drawn == pytest.approx(exact, abs=4 * 2 * (exact / 2 / 4000) ** 0.5)
    assert drawn == randomisation_p(differences, resamples=4000, seed=0)


def test_p_is_never_zero_and_one_without_any_difference():
    always = np.full(200, 0.5)
    assert randomisation_p(always, resamples=999, seed=0) == pytest.approx(2 / 1000)
    assert randomisation_p(np.zeros(50), resamples=999, seed=0) == 1.0


def test_one_query_that_differs_proves_nothing():
    assert randomisation_p(np.array([0.0, 0.4, 0.0]), resamples=100, seed=0) == enumerated_p([0.4]) == 1.0


def test_false_alarms_come_at_the_stated_rate():
    generator = np.random.default_rng(3)
    p = [randomisation_p(generator.normal(0, 1, 30), resamples=200, seed=0) for _ in range(200)]
    assert np.mean(np.array(p) < 0.05) < 0.10


def test_interval_agrees_with_the_normal_approximation():
    values = np.random.default_rng(0).normal(0.2, 0.5, 2000)
    low, high = bootstrap_interval(values, resamples=4000, seed=0)
    half = 1.96 * values.std(ddof=1) / 2000**0.5
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.002)
    assert bootstrap_interval(np.full(5, 0.25), resamples=100, seed=0) == (0.25, 0.25)


def test_compare_pairs_by_query_id_whatever_the_order():
    a = table({"q1": 0.9, "q2": 0.5, "q3": 0.4})
    b = table({"q3": 0.1, "q1": 0.8, "q2": 0.5})
    result = compare(a, b, metric="ndcg_at_10", resamples=1000, seed=0)
    assert result.queries == 3
    assert (result.mean_a, result.mean_b) == pytest.approx((0.6, 1.4 / 3))
    assert result.difference == pytest.approx(0.4 / 3)
    assert result.low <= result.difference <= result.high
    assert result.p == pytest.approx(enumerated_p([0.1, 0.3]))
    mirrored = compare(b, a, metric="ndcg_at_10", resamples=1000, seed=0)
    assert (mirrored.difference, mirrored.p) == pytest.approx((-result.difference, result.p))


def test_queries_that_cannot_be_paired_are_refused():
    a = table({"q1": 0.9, "q2": 0.5})
    with pytest.raises(RevelaError, match=r"2 query id\(s\) in one table only, such as 'q2'"):
        compare(a, table({"q1": 0.9, "q4": 0.5}), metric="ndcg_at_10", resamples=100, seed=0)
    twice = pd.concat([a, a])
    with pytest.raises(RevelaError, match="occurs twice"):
        compare(twice, twice, metric="ndcg_at_10", resamples=100, seed=0)


def test_holm_by_hand():
    # sorted 0.01 0.02 0.03 0.5 -> 4*0.01, 3*0.02, max(0.06, 2*0.03), 0.5
    assert holm([0.5, 0.01, 0.03, 0.02]) == pytest.approx([0.5, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_t_test_is_scipys_paired_one_and_agrees_with_randomisation():
    generator = np.random.default_rng(0)
    a, b = generator.normal(0.5, 0.2, 200), generator.normal(0.46, 0.2, 200)
    wanted = stats.ttest_rel(a, b).pvalue
    assert t_test_p(a - b) == pytest.approx(wanted)
    assert randomisation_p(a - b, resamples=20_000, seed=0) == pytest.approx(wanted, abs=0.01)
    assert t_test_p(np.zeros(5)) == 1.0

from __future__ import annotations

import doctest

import pytest
import torch

from revela.modeling import weights
from revela.modeling.weights import effective_chunks, in_batch_log_weights, renormalised, select_pairs


def test_the_docstring_example_holds():
    assert doctest.testmod(weights, extraglobs={"torch": torch}).failed == 0


def test_rows_are_a_softmax_over_the_other_chunks():
    similarities = torch.tensor([[9.0, 0.0, 0.1], [0.2, 9.0, 0.2], [0.0, 0.3, 9.0]])
    found = in_batch_log_weights(similarities, 0.1).exp()
    wanted = torch.tensor(
        [[0.0, 1 / (1 + torch.e), torch.e / (1 + torch.e)], [0.5, 0, 0.5], [0.0474, 0.9526, 0]]
    )
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4)


def test_the_gradient_is_finite_at_the_papers_temperature():
    similarities = torch.rand(5, 5, requires_grad=True)
    log_weights = in_batch_log_weights(similarities, 1e-4)
    log_weights.exp().square().sum().backward()
    assert torch.isfinite(similarities.grad).all()


def test_pairs_by_threshold_and_by_rank():
    log_weights = in_batch_log_weights(
        torch.tensor([[0, 5.0, 4, 0], [1, 0, 2, 3], [0, 9, 0, 0], [1, 1, 2, 0]]), 1.0
    )
    assert select_pairs(log_weights, 0.0, None).sum() == 12
    assert select_pairs(log_weights, 0.0, 1).int().tolist() == [
        [0, 1, 0, 0],
        [0, 0, 0, 1],
        [0, 1, 0, 0],
        [0, 0, 1, 0],
    ]
    assert select_pairs(log_weights, 0.01, None)[2].tolist() == [False, True, False, False]
    assert not select_pairs(log_weights, 0.0, None).diagonal().any()


def test_effective_chunks_is_one_for_one_hot_and_all_others_for_an_even_spread():
    assert effective_chunks(in_batch_log_weights(torch.zeros(5, 5), 1.0).exp()).item() == pytest.approx(4.0)
    assert effective_chunks(torch.eye(5).roll(1, 0)).item() == pytest.approx(1.0)


def test_rows_of_a_larger_group_leave_out_their_own_column():
    log_weights = in_batch_log_weights(torch.zeros(2, 5), 1.0, first=2)
    assert log_weights.isneginf().nonzero().tolist() == [[0, 2], [1, 3]]
    torch.testing.assert_close(log_weights.exp().sum(dim=1), torch.ones(2))


@pytest.mark.parametrize(("shape", "first"), [((1, 1), 0), ((3, 2), 0), ((2, 3), 2), ((4,), 0)])
def test_rows_without_a_column_of_their_own_are_refused(shape, first):
    with pytest.raises(ValueError, match="similarities must"):
        in_batch_log_weights(torch.zeros(shape), 1.0, first)


def test_a_uniform_share_mixes_the_weights_with_an_even_spread():
    similarities = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    plain = in_batch_log_weights(similarities, 0.1, first=1).exp()
    mixed = in_batch_log_weights(similarities, 0.1, first=1, uniform_share=0.2).exp()
    own = plain == 0
    torch.testing.assert_close(mixed, (0.8 * plain + 0.2 / 4).masked_fill(own, 0.0))
    torch.testing.assert_close(mixed.sum(dim=1), torch.ones(3))


def test_the_gradient_through_a_uniform_share_is_finite_also_where_a_weight_underflows():
    similarities = torch.tensor([[0.0, 1.0, -1.0]] * 3, requires_grad=True)
    log_weights = in_batch_log_weights(similarities, 1e-4, uniform_share=0.1)
    log_weights.masked_fill(log_weights.isneginf(), 0.0).sum().backward()
    assert similarities.grad.isfinite().all()


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_uniform_share_outside_its_range_is_refused(share):
    with pytest.raises(ValueError, match="uniform_share must be"):
        in_batch_log_weights(torch.zeros(3, 3), 1.0, uniform_share=share)


def test_renormalised_weights_are_a_softmax_over_the_chosen_pairs():
    similarities = torch.randn(4, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    log_weights = in_batch_log_weights(similarities, 0.5)
    pairs = select_pairs(log_weights, 0.0, 2)
    found = renormalised(log_weights, pairs)
    torch.testing.assert_close(found.exp().sum(dim=1), torch.ones(4))
    wanted = (similarities / 0.5).masked_fill(~pairs, -torch.inf).softmax(dim=1)
    torch.testing.assert_close(found.exp(), wanted)
    found[pairs].sum().backward()
    assert similarities.grad.isfinite().all() and similarities.grad.abs().sum() > 0


def test_a_row_without_a_pair_is_left_as_it_is():
    log_weights = in_batch_log_weights(torch.zeros(3, 3, requires_grad=True), 1.0)
    found = renormalised(log_weights, torch.zeros(3, 3, dtype=torch.bool))
    torch.testing.assert_close(found, log_weights)

"""How many groups a forward takes: as many as there is room for, and a number that divides."""

from __future__ import annotations

import pytest

from revela.training.forward_size import largest_that_fits


def linear(first: float, each: float):
    """Bytes of `count` groups: the first, and as much again for every further one."""
    return lambda count: first + (count - 1) * each


@pytest.mark.parametrize(
    ("groups", "room", "wanted"),
    [
        (8, 1000, 8),
        (8, 170, 8),
        (8, 169, 4),  # 7 would fit, and do not divide 8
        (8, 129, 2),
        (8, 119, 2),
        (8, 109, 1),
        (8, 1, 1),  # one at least, and then it is out of memory with advice
        (6, 129, 3),
        (7, 159, 1),
        (7, 160, 7),
        (1, 1, 1),
    ],
)
def test_the_largest_divisor_that_fits(groups, room, wanted):
    assert largest_that_fits(linear(100, 10), groups, room) == wanted


def test_only_one_and_two_groups_are_tried():
    asked = []

    def peak(count: int) -> float:
        asked.append(count)
        return 100 * count

    assert largest_that_fits(peak, 12, 600) == 6
    assert asked == [1, 2]


def test_a_single_group_is_not_measured_at_all():
    def peak(count: int) -> float:
        raise AssertionError

    assert largest_that_fits(peak, 1, 0) == 1


def test_groups_that_take_nothing_more_all_go_together():
    # Measured peaks of short groups may even fall.
    assert largest_that_fits(linear(100, 0), 16, 200) == 16
    assert largest_that_fits(linear(100, -5), 16, 200) == 16

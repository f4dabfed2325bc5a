"""How often a corpus's pairs are read."""

from __future__ import annotations

import json

import pytest

from revela.pairs.reading import Pairs
from revela.training.passes import within_passes
from revela.training.pipeline import train

PAIRS = {
    "name": "first", "train": ["retriever"], "terms": {"contrastive": 1.0}, "steps": 40, "pairs": 8,
    "learning_rate": {"retriever": 1e-3}, "warmup_steps": 10,
}  # fmt: skip
ADAPT = {
    "name": "adapt", "train": ["lm"], "terms": {"revela": 1.0}, "rows": "parts", "weights": "bm25",
    "pairs": 4, "steps": 3, "learning_rate": {"lm": 1e-3},
}  # fmt: skip
LAST = {**PAIRS, "name": "last", "steps": 20, "warmup_steps": 0}


@pytest.fixture
def settings(make_settings):
    def make(*phases: dict, **training):
        return make_settings(
            {"phases": list(phases), **training}, batches={"group_size": 4, "pairs": {"kinds": "auto"}}
        )

    return make


@pytest.fixture(scope="module")
def there(pairs_folder) -> int:
    """Pairs that the retriever may see."""
    return len(Pairs(pairs_folder).trained())


def test_phases_that_would_read_pairs_again_are_shortened_in_proportion(settings, pairs_folder, there):
    found = within_passes(settings(PAIRS, ADAPT, LAST, max_passes=1), pairs_folder).training.phases
    steps = [phase.steps for phase in found]
    assert (steps[0] + steps[2]) * 8 == pytest.approx(there, abs=8)
    assert steps[0] == pytest.approx(2 * steps[2], abs=1) and steps[0] < 40
    assert steps[1] == 3, "the language model reads on"
    assert [phase.warmup_steps for phase in found] == [round(10 * steps[0] / 40), 0, 0]
    twice = within_passes(settings(PAIRS, ADAPT, LAST, max_passes=2), pairs_folder).training.phases
    assert twice[0].steps == pytest.approx(2 * steps[0], abs=1)


def test_several_groups_a_step_are_as_many_pairs(settings, pairs_folder):
    one = within_passes(settings(PAIRS, max_passes=1), pairs_folder).training.phases[0]
    four = within_passes(settings(PAIRS, max_passes=1, groups_per_step=4), pairs_folder).training.phases[0]
    assert four.steps == pytest.approx(one.steps / 4, abs=1)


def test_what_fits_or_is_not_asked_for_stays(settings, pairs_folder, groups_folder):
    for asked in (
        settings(PAIRS, LAST),
        settings({**PAIRS, "steps": 2, "warmup_steps": 1}, max_passes=1),
    ):
        assert within_passes(asked, pairs_folder) is asked
    without = settings({**LAST, "pairs": None}, max_passes=1)
    assert within_passes(without, groups_folder) is without, "there are no pairs to count"


def test_hardly_any_pairs_are_still_a_step(settings, pairs_folder):
    (phase,) = within_passes(settings(PAIRS, max_passes=0.001), pairs_folder).training.phases
    assert (phase.steps, phase.warmup_steps) == (1, 0)


def test_a_training_takes_the_steps_that_are_left(settings, pairs_folder, new_places, tmp_path, caplog):
    caplog.set_level("INFO")
    places = new_places(tmp_path) | {"groups_dir": pairs_folder}
    asked = settings(PAIRS, max_passes=0.5)
    train(asked, **places)
    taken = (places["report_dir"] / "curve.csv").read_text().count("\n") - 1
    assert taken == within_passes(asked, pairs_folder).training.phases[0].steps < 40
    assert "which 40 steps would read" in caplog.text
    assert json.loads((places["report_dir"] / "metrics.json").read_text())["first"]

"""Which of a training's states becomes the retriever."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer

from revela.errors import RevelaError
from revela.training.checkpoints import STATE_FILE
from revela.training.keeping import MEAN, Candidate, Keeper, report_of
from revela.training.model import JointModel

TEXT = "the red house"


class Scores:
    """A validation that says what it is told to, and remembers how the retriever encoded."""

    def __init__(self, *scores: float, every: int = 2) -> None:
        self.every, self._left, self.vectors = every, list(scores), []

    def __call__(self, encoder: SentenceTransformer) -> tuple[float, dict[str, float], list[float]]:
        self.vectors.append(encoder.encode_query(TEXT))
        score = self._left.pop(0)
        return score, {"title": score}, [score, score]


@pytest.fixture(params=[{"rank": 4, "alpha": 8}, None], ids=["adapters", "all weights"])
def model(request, backbone_folder, make_settings) -> JointModel:
    settings = make_settings({"lora": request.param})
    torch.manual_seed(0)
    return JointModel(backbone_folder, settings.training, settings.objective, torch.float32)


def stir(model: JointModel) -> None:
    """What a few steps do."""
    with torch.no_grad():
        for value in model.trained_state().values():
            value.add_(torch.randn_like(value), alpha=0.2)


def keeper_of(model: JointModel, folder: Path, *scores: float) -> tuple[Keeper, Scores]:
    """One that measured the start and then a changed state every second step."""
    validate = Scores(*scores)
    keeper = Keeper(model, validate, folder, position=0)
    for step in range(2, 2 * len(scores), 2):
        stir(model)
        keeper.measure("phase", step)
    return keeper, validate


def saved(model: JointModel, folder: Path) -> dict[str, torch.Tensor]:
    """Its retriever's weights as they are saved, adapters merged."""
    model.retriever.save(folder)
    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize(
    ("scores", "step"),
    [
        ((0.5, 0.4, 0.3), 0),
        ((0.2, 0.6, 0.4, 0.5), 2),
        ((0.1, 0.2, 0.3), 4),
        ((0.4, 0.4, 0.4), 0),  # of equal ones the first
        ((0.2, 0.4, 0.4), 2),
        ((0.4,), 0),
    ],
)
def test_the_best_of_all_states_is_put_back_the_start_among_them(model, tmp_path, scores, step):
    keeper, validate = keeper_of(model, tmp_path, *scores)
    validate._left = [0.0]  # of their mean
    kept = keeper.settle([])
    assert (kept.step, kept.mean) == (step, max(scores))
    assert kept.name == ("phase" if step else "start")
    assert abs(model.retriever.encoder.encode_query(TEXT) - validate.vectors[step // 2]).max() < 1e-6
    others = [vector for number, vector in enumerate(validate.vectors) if number != step // 2]
    assert all(abs(vector - validate.vectors[step // 2]).max() > 1e-3 for vector in others)


def test_the_best_state_averaged_with_the_start_can_win(model, tmp_path):
    """Weight by weight between both, adapters merged."""
    start = saved(model, tmp_path / "start")
    validate = Scores(0.1, 0.5, 0.2, 0.6, 0.7, 0.0)
    keeper = Keeper(model, validate, tmp_path / "kept", position=0)
    stir(model)
    keeper.measure("phase", 2)
    trained = saved(model, tmp_path / "trained")
    stir(model)
    keeper.measure("phase", 4)
    kept = keeper.settle([0.75, 0.25])
    assert kept == Candidate("phase, 0.25 of the start", 2, 0.7, {"title": 0.7})
    assert [one.name for one in keeper.measured[3:]] == ["phase, 0.75 of the start", kept.name, MEAN]
    for name, weight in saved(model, tmp_path / "mean").items():
        wanted = 0.25 * start[name] + 0.75 * trained[name]
        torch.testing.assert_close(weight, wanted, rtol=0, atol=1e-6)
    assert any((start[name] - trained[name]).abs().max() > 0.1 for name in start)


@pytest.mark.parametrize(
    ("scores", "average", "wanted"),
    [((0.1, 0.5), 0.4, "phase"), ((0.9, 0.5), 0.8, "start"), ((0.1, 0.5), 0.5, "phase")],
)
def test_an_average_need_not_win(model, tmp_path, scores, average, wanted):
    keeper, validate = keeper_of(model, tmp_path, *scores)
    validate._left = [average]
    assert keeper.settle([0.5]).name == wanted
    vector = validate.vectors[0 if wanted == "start" else 1]
    assert abs(model.retriever.encoder.encode_query(TEXT) - vector).max() < 1e-6


def after_two_phases(model: JointModel, folder: Path, *scores: float):
    """A keeper that has measured the start and two phases, with the weights then."""
    validate = Scores(*scores)
    keeper = Keeper(model, validate, folder / "kept", position=0)
    states = [copied(model)]
    for number, name in enumerate(["one", "two"]):
        stir(model)
        keeper.measure(name, 2 * number + 2)
        states.append(copied(model))
    return keeper, states, validate.vectors


def copied(model: JointModel) -> dict[str, torch.Tensor]:
    """What trains of the retriever."""
    state = model.trained_state()
    return {name: weight.clone() for name, weight in state.items() if name.startswith("retriever.")}


@pytest.mark.parametrize(
    ("mean", "kept", "because"),
    [
        (0.875, MEAN, "the best in validation"),
        (0.625, MEAN, "75% of the gain of the best in validation, one after 2 steps"),
        (0.5, MEAN, "50% of the gain of the best in validation, one after 2 steps"),
        (0.49, "one", "the best in validation"),
        (0.125, "one", "the best in validation"),  # below the start
    ],
)
def test_the_mean_of_the_run_is_kept_where_it_has_half_of_what_the_best_state_gained(
    model, tmp_path, make_settings, mean, kept, because
):
    keeper, _, vectors = after_two_phases(model, tmp_path, 0.25, 0.75, 0.625, mean)
    found = keeper.settle([])
    assert (found.name, keeper.measured[-1].name) == (kept, MEAN)
    assert report_of(make_settings().training, keeper, found)["because"] == because
    assert abs(model.retriever.encoder.encode_query(TEXT) - vectors[3 if kept == MEAN else 1]).max() < 1e-6


def test_the_mean_is_of_all_measured_states_the_start_among_them(model, tmp_path):
    keeper, states, _ = after_two_phases(model, tmp_path, 0.1, 0.5, 0.4, 0.6)
    keeper.settle([])
    for name, weight in copied(model).items():
        wanted = sum(state[name] for state in states) / 3
        torch.testing.assert_close(weight, wanted, rtol=0, atol=1e-6)


def test_the_mean_is_no_better_than_a_better_start(model, tmp_path):
    keeper, *_ = after_two_phases(model, tmp_path, 0.9, 0.5, 0.4, 0.9)
    assert keeper.settle([]).name == "start"


def test_of_the_start_and_one_state_there_is_only_the_average_that_is_asked_for(model, tmp_path):
    keeper, _ = keeper_of(model, tmp_path, 0.1, 0.5)
    assert keeper.settle([]).name == "phase"
    assert all(one.name != MEAN for one in keeper.measured)


def test_a_training_that_goes_on_takes_the_mean_until_there(model, tmp_path):
    """What a kill undid is in no mean."""
    _, states, _ = after_two_phases(model, tmp_path, 0.1, 0.5, 0.4)
    again = Keeper(model, Scores(0.3, 0.6), tmp_path / "kept", position=3)
    stir(model)
    again.measure("two", 4)
    wanted = [*states[:2], copied(model)]
    assert again.settle([]).name == MEAN
    for name, weight in copied(model).items():
        torch.testing.assert_close(weight, sum(state[name] for state in wanted) / 3, rtol=0, atol=1e-6)


def test_only_what_a_training_that_goes_on_may_ask_for_stays_on_disk(model, tmp_path):
    validate = Scores(0.1, 0.2, 0.3, 0.4, 0.5, 0.3, 0.6, 0.7)
    keeper = Keeper(model, validate, tmp_path / "kept", position=0, reach=4)
    for step in range(2, 16, 2):
        stir(model)
        keeper.measure("one" if step <= 4 else "two", step)
    # A training may go on at 10 (the best was 8, and is until 11), at 12 or 14 (12), and begin with the first
    # phase, which ended at 4. Of 2 and 6, which were the best once, it asks no more.
    assert {path.name for path in (tmp_path / "kept").iterdir() if path.is_dir()} == {
        "0-start", "4-one", "8-two", "14-two", "12-two", "mean",
    }  # fmt: skip
    assert {path.name for path in (tmp_path / "kept" / "mean").iterdir()} == {"1", "3", "6", "7", "8"}
    for position, best in ((4, 4), (10, 8), (12, 12), (14, 14)):
        folder = shutil.copytree(tmp_path / "kept", tmp_path / f"from-{position}")
        again = Keeper(model, Scores(0.0), folder, position=position)
        assert again.settle([]).step == best


def test_a_mean_that_is_gone_is_named_with_what_to_do(model, tmp_path):
    keeper, _ = keeper_of(model, tmp_path / "kept", 0.1, 0.2, 0.3)
    shutil.rmtree(tmp_path / "kept" / "mean" / "3")
    with pytest.raises(RevelaError, match=rf"mean/3: gone; delete {tmp_path} to train anew"):
        keeper.settle([])


def test_what_came_after_the_step_that_training_goes_on_at_does_not_count(model, tmp_path):
    keeper_of(model, tmp_path, 0.1, 0.2, 0.9)
    again = Keeper(model, Scores(0.3, 0.1), tmp_path, position=3)
    assert [(one.step, one.mean) for one in again.measured] == [(0, 0.1), (2, 0.2)]
    again.measure("phase", 4)
    assert again.settle([]).mean == 0.3


def test_an_average_is_made_anew_by_whoever_settles(model, tmp_path):
    keeper, validate = keeper_of(model, tmp_path, 0.1, 0.2)
    validate._left = [0.9]
    keeper.settle([0.5])
    again = Keeper(model, Scores(0.15), tmp_path, position=2)
    assert [one.name for one in again.measured] == ["start", "phase"]
    assert again.settle([0.5]).name == "phase"


def test_a_state_that_is_gone_is_named_with_what_to_do(model, tmp_path):
    keeper, _ = keeper_of(model, tmp_path / "kept", 0.1, 0.2)
    (tmp_path / "kept" / "0-start" / STATE_FILE).unlink()
    with pytest.raises(RevelaError, match=rf"0-start: gone; delete {tmp_path} to train anew"):
        keeper.settle([])


def test_the_report_says_what_and_why(model, tmp_path, make_settings):
    training = make_settings().training
    keeper, validate = keeper_of(model, tmp_path, 0.25, 0.5)
    validate._left = [0.4]
    assert report_of(training, keeper, keeper.settle([0.5])) == {
        "state": "phase", "because": "the best in validation", "step": 2,
        "validation": 0.5, "start": 0.25, "scores": {"title": 0.5}, "scores_of_start": {"title": 0.25},
        "measured": [
            {"state": "start", "step": 0, "validation": 0.25, "scores": {"title": 0.25}},
            {"state": "phase", "step": 2, "validation": 0.5, "scores": {"title": 0.5}},
            {
                "state": "phase, 0.5 of the start", "step": 2, "validation": 0.4,
                "scores": {"title": 0.4},
            },
        ],
    }  # fmt: skip
    worse, _ = keeper_of(model, tmp_path / "worse", 0.5, 0.25)
    assert report_of(training, worse, worse.settle([]))["because"] == "no state was better in validation"

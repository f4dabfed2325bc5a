"""What is done to the retriever before the first phase: identifiers split, tokens weighted, whitening."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import WordWeights

from revela.cli.stages import _saved_phases
from revela.errors import RevelaError
from revela.evaluation.validation import validation_of
from revela.files import sha256_tree
from revela.groups.reading import Groups
from revela.modeling.token_weights import inverse_document_frequencies
from revela.modeling.untrained import build_retriever
from revela.settings import RetrieverSource
from revela.training.checkpoints import recall_run
from revela.training.keeping import Validate
from revela.training.pipeline import train

PHASE = {
    "name": "first", "train": ["retriever"], "terms": {"contrastive": 1.0}, "steps": 2, "pairs": 8,
    "learning_rate": {"retriever": 1e-12},
}  # fmt: skip
NAMES = ["get User Name", "parse Xml File", "send Http Request", "close All Sockets", "read Next Line"]


class Questions:
    """How near identifiers are to the words that they are made of, or those to themselves: 0 to 1."""

    every = 2

    def __init__(self, joined: bool) -> None:
        self._passages = [name.replace(" ", "") if joined else name for name in NAMES]
        self.asked = 0

    def __call__(self, encoder: SentenceTransformer) -> tuple[float, dict[str, float], list[float]]:
        self.asked += 1
        words, passages = (
            encoder.encode(texts, normalize_embeddings=True) for texts in (NAMES, self._passages)
        )
        near = float((words * passages).sum(axis=1).mean())
        return near, {"questions": near}, [near]


@pytest.fixture
def averaging(backbone_folder, tmp_path) -> Path:
    """A backbone whose retriever takes the mean of its tokens, as most encoders do."""
    folder = tmp_path / "averaging"
    shutil.copytree(backbone_folder, folder)
    lm = backbone_folder / "lm"
    source = RetrieverSource(kind="folder", name=str(lm), max_tokens=64, pooling="mean")
    shutil.rmtree(folder / "retriever")
    build_retriever(lm, source).save(str(folder / "retriever"))
    return folder


@pytest.fixture
def begun(make_settings, new_places, pairs_folder, averaging, tmp_path):
    """Train with a value of `split_identifiers` and questions; where, and what metrics.json says."""

    def run(split: bool | str, questions: Validate, name: str = "run", backbone: str = "", **training):
        settings = make_settings(
            {
                "phases": [PHASE],
                "split_identifiers": split,
                "validation": {"every": 2, "pairs": 10},
                **training,
            },
            batches={"group_size": 4, "pairs": {"kinds": "auto"}},
        )
        places = new_places(tmp_path / name) | {"groups_dir": pairs_folder}
        if backbone == "averaging":
            places["backbone_dir"] = averaging
        train(settings, **places, validate=questions)
        return places, json.loads((places["report_dir"] / "metrics.json").read_text())

    return run


def splits(folder: Path) -> bool:
    """Whether the retriever reads an identifier as its words."""
    one, other = SentenceTransformer(str(folder), device="cpu").encode(["parseXmlFile", "parse Xml File"])
    return bool(abs(one - other).max() < 1e-5)


def test_identifiers_are_split_where_the_start_searches_better_so(begun):
    questions = Questions(joined=True)
    places, told = begun("auto", questions)
    assert told["beginning"]["identifiers"]["used"] is True
    assert told["beginning"]["identifiers"]["with"] == pytest.approx(1.0, abs=1e-5)
    assert told["beginning"]["identifiers"]["without"] < 1 - 1e-4
    assert told["kept"]["start"] == told["beginning"]["identifiers"]["with"]
    models = places["models_dir"]
    assert splits(models / "retriever") and splits(models / "phases" / "identifiers")
    assert not splits(places["backbone_dir"] / "retriever"), "what it is compared with stays as it came"


def test_what_was_asked_is_in_mlflow(begun, tracking_store):
    places, told = begun("auto", Questions(joined=True))
    (workspace,) = places["checkpoints_dir"].iterdir()
    metrics = MlflowClient(tracking_store).get_run(recall_run(workspace)).data.metrics
    assert metrics["beginning/identifiers/with"] == told["beginning"]["identifiers"]["with"]
    assert metrics["beginning/identifiers/without"] == told["beginning"]["identifiers"]["without"]
    assert metrics["kept/start"] == told["kept"]["start"]


def test_it_is_asked_where_the_last_state_is_kept_whatever_it_is_worth(begun):
    questions = Questions(joined=True)
    _, told = begun("auto", questions, keep="last")
    assert told["beginning"]["identifiers"]["used"] is True and questions.asked == 2
    assert told["kept"] == {"state": "last", "because": "training.keep is last"}


@pytest.mark.parametrize(
    ("training", "decides"),
    [
        ({"keep": "last"}, False),
        ({"keep": "last", "split_identifiers": "auto"}, True),
        ({"keep": "last", "token_weights": "auto"}, True),
        ({}, True),
    ],
)
def test_pairs_are_held_ready_where_something_is_decided_by_them(
    make_settings, pairs_folder, training, decides
):
    settings = make_settings(
        {"phases": [PHASE], "validation": {"pairs": 10}, **training}, batches={"pairs": {"kinds": "auto"}}
    )
    assert (validation_of(settings, pairs_folder) is not None) is decides


def test_they_stay_whole_where_that_makes_no_difference(begun):
    places, told = begun("auto", Questions(joined=False))
    assert told["beginning"]["identifiers"]["used"] is False
    assert told["beginning"]["identifiers"]["with"] == told["beginning"]["identifiers"]["without"]
    assert not splits(places["models_dir"] / "retriever")
    assert not (places["models_dir"] / "phases" / "identifiers").exists()


@pytest.mark.parametrize("split", [True, False])
def test_what_is_said_is_not_asked(begun, split):
    places, told = begun(split, Questions(joined=not split))
    assert "beginning" not in told
    assert splits(places["models_dir"] / "retriever") is split


def test_a_training_that_goes_on_does_not_ask_again(begun, tmp_path, make_settings, new_places):
    first, again = Questions(joined=True), Questions(joined=True)
    places, told = begun("auto", first)
    found = sha256_tree(places["models_dir"])
    _, told_again = begun("auto", again)
    assert told_again == told
    assert sha256_tree(places["models_dir"]) == found
    assert again.asked < first.asked - 1


def test_whitening_is_fitted_on_what_the_splitting_retriever_reads(begun):
    places, _ = begun(True, Questions(joined=True), whitening={"chunks": 12})
    assert splits(places["models_dir"] / "phases" / "whitened")
    assert {path.name for path in (places["models_dir"] / "phases").iterdir()} == {
        "identifiers", "whitened", "first",
    }  # fmt: skip


class Favours:
    """Whether token weights are there, as a score: what an encoder that has them is worth, others 0.5.

    Of ten queries with them half score so much more, and half so much less.
    """

    every = 2

    def __init__(self, worth: float, spread: float = 0.0) -> None:
        self.worth, self.spread = worth, spread

    def __call__(self, encoder: SentenceTransformer) -> tuple[float, dict[str, float], list[float]]:
        if not any(isinstance(module, WordWeights) for module in encoder):
            return 0.5, {"questions": 0.5}, [0.5] * 10
        queries = [self.worth - self.spread, self.worth + self.spread] * 5
        return self.worth, {"questions": self.worth}, queries


@pytest.mark.parametrize(("worth", "used"), [(0.75, True), (0.25, False)])
def test_tokens_are_weighted_where_the_start_searches_better_so(begun, worth, used):
    places, told = begun("auto", Favours(worth), backbone="averaging", token_weights="auto")
    assert told["beginning"]["token_weights"] == {"used": used, "with": worth, "without": 0.5}
    assert not told["beginning"]["identifiers"]["used"], "level is not better"
    saved = SentenceTransformer(str(places["models_dir"] / "retriever"), device="cpu")
    assert any(isinstance(module, WordWeights) for module in saved) is used
    assert (places["models_dir"] / "phases" / "token_weights").is_dir() is used


@pytest.mark.parametrize(("spread", "used"), [(0.0625, True), (0.125, False)])
def test_a_lead_that_chance_may_have_given_changes_nothing(begun, spread, used):
    # 0.0625 ahead: 3.0 standard errors of ten queries, and 1.5.
    _, told = begun("auto", Favours(0.5625, spread), backbone="averaging", token_weights="auto")
    assert told["beginning"]["token_weights"] == {"used": used, "with": 0.5625, "without": 0.5}


def test_weights_are_of_the_chunks_and_to_the_power_that_is_asked_for(begun, pairs_folder):
    weights = {}
    for power in (0.5, 1.0):
        places, told = begun(False, Favours(1), f"{power}", backbone="averaging", token_weights=power)
        assert "beginning" not in told
        saved = SentenceTransformer(str(places["models_dir"] / "phases" / "token_weights"), device="cpu")
        weights[power] = saved[1].emb_layer.weight[:, 0].detach().numpy()
    groups = Groups(pairs_folder)
    texts = [chunk.text for number in range(len(groups)) for chunk in groups[number]]
    counted = inverse_document_frequencies(saved.tokenizer, texts)
    np.testing.assert_allclose(weights[1.0], counted, atol=1e-5)
    np.testing.assert_allclose(weights[0.5], counted**0.5, atol=1e-5)


def test_a_retriever_that_takes_no_mean_is_left_as_it_is_or_refused(begun):
    places, told = begun(False, Favours(1), token_weights="auto")
    assert told["beginning"] == {"token_weights": {"used": False}}
    assert not (places["models_dir"] / "phases" / "token_weights").exists()
    with pytest.raises(RevelaError, match="token_weights: null, or auto, which then leaves it"):
        begun(False, Favours(1), "asked", token_weights=0.5)


def test_the_table_has_a_row_for_it_where_it_was_split(make_settings, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = make_settings(
        {"phases": [PHASE], "split_identifiers": "auto", "validation": {"pairs": 10}},
        batches={"group_size": 4, "pairs": {"kinds": "auto"}},
    )
    assert [folder.name for folder in _saved_phases(settings)] == ["first"]
    (tmp_path / "models" / "phases" / "identifiers").mkdir(parents=True)
    assert [folder.name for folder in _saved_phases(settings)] == ["identifiers", "first"]


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"split_identifiers": "auto"}, "`split_identifiers: auto` is decided by `validation`"),
        (
            {"phases": [PHASE | {"name": "identifiers"}]},
            "a phase is named `identifiers`, as is a state of the retriever before all phases",
        ),
        ({"token_weights": "auto"}, "`token_weights: auto` is decided by `validation`"),
        ({"phases": [PHASE | {"name": "beginning"}]}, "a phase is named `beginning`"),
    ],
)
def test_what_cannot_be_decided_or_told_apart_is_refused(make_settings, training, message):
    with pytest.raises(ValueError, match=message):
        make_settings({"phases": [PHASE], **training}, batches={"pairs": {}})

"""The stage `train` under settings of many kinds, each a training of its own on tiny models."""

from __future__ import annotations

import pytest
import torch
from curves import curve
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer

from revela.errors import RevelaError
from revela.training.pipeline import train, training_fingerprint


@pytest.mark.parametrize(
    "training",
    [{"lora": None}, {"groups_per_step": 2}],
    ids=["full", "accumulated"],
)
def test_full_training_and_accumulation_run(make_settings, places, training):
    train(make_settings(training), **places)
    rows = curve(places)
    assert len(rows) == 10
    assert float(rows[-1]["grad_norm_retriever"]) > 0


def test_the_papers_attention_trains_too(make_settings, places):
    train(make_settings(objective={"attention": "paper", "temperature": 1e-4}), **places)
    assert float(curve(places)[-1]["grad_norm_retriever"]) > 0


def test_a_loss_that_is_not_finite_stops_with_step_documents_and_advice(make_settings, places):
    phases = [{"name": "wild", "train": ["retriever"], "terms": {"contrastive": 1.0}, "steps": 40,
               "learning_rate": {"retriever": 1e30}}]  # fmt: skip
    with pytest.raises(RevelaError, match=r"phase 'wild', step \d+: the loss is (nan|inf)") as caught:
        train(make_settings({"phases": phases}), **places)
    assert ".py" in str(caught.value) and "lower learning_rate" in str(caught.value)
    assert not places["models_dir"].exists()


def test_lora_targets_that_the_model_lacks_are_named(make_settings, places):
    with pytest.raises(RevelaError, match=r"training\.lora\.targets \['query_key_value'\] do not fit"):
        train(make_settings({"lora": {"targets": ["query_key_value"]}}), **places)


def test_whitening_comes_first_is_kept_as_a_model_and_is_part_of_the_trained_retriever(
    make_settings, places, backbone_folder
):
    first = make_settings().model_dump()["training"]["phases"][0]
    phases = [{**first, "negatives": "corpus", "contrastive_groups": 2}]
    train(make_settings({"whitening": {"chunks": 12}, "phases": phases}), **places)
    whitened = SentenceTransformer(str(places["models_dir"] / "phases" / "whitened"), device="cpu")
    trained = SentenceTransformer(str(places["models_dir"] / "retriever"), device="cpu")
    assert torch.equal(whitened[2].linear.weight, trained[2].linear.weight)
    untrained = SentenceTransformer(str(backbone_folder / "retriever"), device="cpu")
    vectors = [model.encode_query(["def read(path): ..."]) for model in (untrained, whitened, trained)]
    assert abs(vectors[0] - vectors[1]).max() > 1e-3
    assert abs(vectors[1] - vectors[2]).max() > 1e-3


def test_whitening_leaves_the_weights_as_they_came_whatever_it_computes_in(
    make_settings, places, backbone_folder
):
    train(make_settings({"whitening": {"chunks": 12}, "precision": "bf16"}), **places)
    whitened = load_file(places["models_dir"] / "phases" / "whitened" / "model.safetensors")
    start = load_file(backbone_folder / "retriever" / "model.safetensors")
    assert all(torch.equal(whitened[name], weight) for name, weight in start.items())


def test_no_phase_may_have_the_name_of_the_whitened_retriever(make_settings):
    phase = {**make_settings().model_dump()["training"]["phases"][0], "name": "whitened"}
    with pytest.raises(ValueError, match="a phase is named `whitened`"):
        make_settings({"whitening": {}, "phases": [phase]})


def test_a_replug_phase_trains_the_retriever_on_a_frozen_language_model(make_settings, places):
    phase = {
        **make_settings().model_dump()["training"]["phases"][0],
        "name": "replug", "terms": {"replug": 1.0}, "steps": 6,
    }  # fmt: skip
    train(make_settings({"phases": [phase]}), **places)
    rows = curve(places)
    losses = [float(row["replug_loss"]) for row in rows]
    assert len(losses) == 6 and all(0 <= loss < 10 for loss in losses)
    assert all(1 <= float(row["lm_effective_chunks"]) <= 3 for row in rows)


def test_replug_needs_the_retriever_and_groups_of_one_process(make_settings):
    first = make_settings().model_dump()["training"]["phases"][0]
    phase = {**first, "terms": {"replug": 1.0}}
    with pytest.raises(ValueError, match="`replug` scores pairs within one process"):
        make_settings({"phases": [phase], "gather_group": True})
    with pytest.raises(ValueError, match="`replug` trains the retriever alone"):
        make_settings(
            {"phases": [{**phase, "terms": {"replug": 1.0, "revela": 1.0}, "train": ["lm"],
                         "learning_rate": {"lm": 1e-3}}]}
        )  # fmt: skip


OF_PAIRS = {
    "name": "pairs", "train": ["retriever"], "terms": {"contrastive": 1.0}, "steps": 4, "pairs": 8,
    "learning_rate": {"retriever": 1e-3},
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pairs": 1}, "`pairs` must be 2 or more: they are compared with one another"),
        ({"related_pairs": 9}, r"`related_pairs` \(9\) must not exceed `pairs` \(8\)"),
        ({"pairs": None, "related_pairs": 2}, "`related_pairs` is for phases that have `pairs`"),
        ({"pairs": None, "mix_kinds": False}, "`mix_kinds` is for phases that have `pairs`"),
        ({"terms": {"replug": 1.0}}, "`pairs` cannot be read by the term `replug`, which continues chunks"),
        ({"terms": {"revela": 1.0}}, "`pairs` goes with `rows: parts` in the term `revela`"),
        ({"views": "crops"}, "`views` says how chunks are read; take it out of a phase that has `pairs`"),
        ({"negatives": "corpus"}, "`negatives` says how chunks are read; take it out"),
        ({"views": "document", "negatives": "corpus"}, "`views` says how chunks are read; take it out"),
        ({"contrastive_groups": 2}, "`contrastive_groups` says how chunks are read; take it out"),
        ({"related_by": "retriever"}, "`related_by` says how `related_pairs` are chosen; set that, too"),
        (
            {"related_kinds": ["message"]},
            "`related_kinds` says how `related_pairs` are chosen; set that, too",
        ),
        ({"lm_pairs": 4}, "`lm_pairs` is for the term `revela`; found contrastive"),
        ({"pairs": None, "lm_pairs": 4}, "`lm_pairs` is for phases that have `pairs`"),
        (
            {"terms": {"revela": 1.0}, "rows": "parts", "lm_pairs": 9},
            r"`lm_pairs` \(9\) must be 2 to `pairs` \(8\)",
        ),
        (
            {"weigh": "gradients"},
            "`weigh: gradients` is for the terms `contrastive` and `revela` together; found contrastive",
        ),
        (
            {"weigh": "gradients", "terms": {"contrastive": 1.0, "revela": 1.0}, "rows": "parts"},
            "`weigh: gradients` goes with `negatives: step`, which takes a step apart",
        ),
        (
            {
                "weigh": "gradients",
                "terms": {"contrastive": 1.0, "revela": 1.0},
                "rows": "parts",
                "negatives": "step",
                "weights": "bm25",
            },
            "`weigh: gradients` needs a retriever that both terms train",
        ),
        ({"name": "kept"}, "a phase is named `kept`, as is what is said of the state kept; rename it"),
    ],
)
def test_what_a_phase_of_pairs_would_ignore_is_refused(make_settings, change, message):
    with pytest.raises(ValueError, match=message):
        make_settings({"phases": [OF_PAIRS | change]}, batches={"pairs": {}})


@pytest.mark.parametrize(
    ("training", "message"),
    [
        (
            {"phases": [OF_PAIRS | {"name": "first", "pairs": None}, OF_PAIRS]},
            r"training\.phases\.1 \('pairs'\) reads `pairs`, but there are none: set batches\.pairs, "
            "for example `pairs: {kinds: auto}`",
        ),
        (
            {"validation": {}},
            "training.validation needs pairs that are held out, or questions: set batches.pairs, "
            "for example `pairs: {kinds: auto}`, or training.validation.benchmark",
        ),
        ({"validation": {}, "parallel": "fsdp"}, "`validation` needs the whole retriever in one process"),
        (
            {"validation": {"benchmark": {"kind": "docstrings", "name": "mine", "limit": 50}}},
            "'mine' is one of evaluate.benchmarks: what decides which state is kept cannot judge",
        ),
        (
            {"validation": {"benchmark": {"kind": "docstrings", "half": "dev"}}},
            "'docstrings' is one of evaluate.benchmarks",
        ),
    ],
)
def test_pairs_that_are_read_or_validated_with_must_be_looked_for(make_settings, training, message):
    with pytest.raises(ValueError, match=message):
        make_settings(training)


def test_a_users_own_questions_are_validated_with_where_there_are_no_pairs(make_settings):
    questions = {"kind": "beir", "name": "mine", "path": "mine"}
    found = make_settings({"validation": {"benchmark": questions}}).training.validation
    assert found.benchmark.name == "mine"


def test_one_half_of_a_benchmark_may_choose_what_the_other_half_judges(make_settings):
    training = {"validation": {"benchmark": {"kind": "docstrings", "half": "dev"}}}
    judged = {"benchmarks": [{"kind": "docstrings", "half": "test"}]}
    assert make_settings(training, evaluate=judged).training.validation.benchmark.half == "dev"
    for same in ({"half": "dev"}, {"half": "dev", "limit": 5}, {}):
        with pytest.raises(ValueError, match=r"is one of evaluate\.benchmarks"):
            make_settings(training, evaluate={"benchmarks": [{"kind": "docstrings"} | same]})


def one_phase(make_settings, **fields) -> object:
    phase = {"name": "revela", "train": ["lm"], "terms": {"revela": 1.0}, "steps": 6,
             "learning_rate": {"lm": 1e-2}, **fields}  # fmt: skip
    return make_settings({"phases": [phase], "gain_every": 1})


def test_a_phase_ends_once_it_gains_enough(make_settings, new_places, tmp_path):
    whole, early = (new_places(tmp_path / name) for name in ("whole", "early"))
    train(one_phase(make_settings, until_gain=1e9), **whole)
    train(one_phase(make_settings, until_gain=-1e9), **early)
    assert len(curve(whole)) == 6
    # Three measurements are averaged, and every step is measured here.
    assert [row["step"] for row in curve(early)] == ["0", "1", "2"]


def test_the_temperature_of_a_phase_goes_from_start_to_end(make_settings, new_places, tmp_path):
    read = []
    for temperature in (0.01, 10.0, {"start": 10.0, "end": 0.01}):
        places = new_places(tmp_path / str(len(read)))
        train(one_phase(make_settings, temperature=temperature, learning_rate={"lm": 1e-9}), **places)
        read.append([float(row["effective_chunks"]) for row in curve(places)])
    cold, warm, falling = read
    assert max(cold) < min(warm)
    assert falling[0] == pytest.approx(warm[0], rel=1e-4)
    assert falling[-1] == pytest.approx(cold[-1], rel=1e-4)


def test_the_language_model_can_learn_under_bm25s_weights_alone(make_settings, places):
    train(one_phase(make_settings, weights="bm25"), **places)
    rows = curve(places)
    assert all(float(row["grad_norm_lm"]) > 0 and not row["grad_norm_retriever"] for row in rows)


@pytest.mark.parametrize("views", ["crops", "document"])
def test_contrastive_training_on_other_views(make_settings, places, views):
    phase = {"name": "contrastive", "train": ["retriever"], "terms": {"contrastive": 1.0}, "steps": 2,
             "learning_rate": {"retriever": 1e-2}, "views": views, "negatives": "corpus"}  # fmt: skip
    train(make_settings({"phases": [phase]}), **places)
    assert all(float(row["grad_norm_retriever"]) > 0 for row in curve(places))


def test_gates_are_trained_with_the_language_model_and_kept(make_settings, places):
    settings = make_settings(objective={"attention": "joint", "temperature": 0.1, "top_k": 2, "gate": True})
    train(settings, **places)
    mark = training_fingerprint(settings, places["backbone_dir"], places["groups_dir"])
    state = load_file(places["checkpoints_dir"] / mark / "2-revela" / "state.safetensors")
    assert state["revela.gates"].abs().sum() > 0

"""params.yaml: the one in the repository is right, and a wrong one is told everything at once."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import yaml

from revela.errors import RevelaError
from revela.settings import load_settings

PARAMS = Path(__file__).parents[1] / "params.yaml"
ABLATIONS = PARAMS.with_name("ablations.yaml")
# A phase that reads groups of chunks; those of the default read pairs.
OF_CHUNKS = {
    "name": "chunks", "train": ["retriever"], "terms": {"contrastive": 1.0}, "steps": 60, "warmup_steps": 5,
    "learning_rate": {"retriever": 3e-4}, "negatives": "corpus", "contrastive_groups": 2,
}  # fmt: skip


@pytest.fixture
def params() -> dict:
    return copy.deepcopy(yaml.safe_load(PARAMS.read_text(encoding="utf-8")))


@pytest.fixture
def refusal(tmp_path):
    """The message that a wrong params.yaml gets."""

    def refuse(content: object) -> str:
        path = tmp_path / "params.yaml"
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8")
        with pytest.raises(RevelaError) as caught:
            load_settings(path)
        return str(caught.value)

    return refuse


def test_the_default_trains_the_retriever_last_and_has_a_seed():
    settings = load_settings(PARAMS)
    assert "retriever" in settings.training.phases[-1].train
    assert settings.seed == 0


def test_any_section_can_be_replaced_for_no_other_refers_to_what_stands_in_it():
    tokens = list(yaml.scan(PARAMS.read_text(encoding="utf-8")))
    assert not [token for token in tokens if isinstance(token, yaml.AnchorToken | yaml.AliasToken)]
    assert load_settings(PARAMS).ablations, "those of ablations.yaml"


def test_a_probe_watches_a_benchmark_that_the_corpus_is_kept_free_of(params, refusal):
    params["training"]["probe"] = {"benchmark": {"kind": "beir", "name": "mine", "path": "mine"}}
    assert "training.probe.benchmark is 'mine', but evaluate.benchmarks has no such one" in refusal(params)


def test_token_weights_are_for_mean_pooling(params, refusal):
    params["training"]["token_weights"] = 1.0
    params["backbone"]["retriever"]["pooling"] = "lasttoken"
    said = refusal(params)
    assert "training.token_weights" in said and "mean (found lasttoken)" in said


def test_an_ablation_is_compared_with_another_one_that_there_is(params, refusal):
    params["ablations"] = yaml.safe_load(ABLATIONS.read_text(encoding="utf-8"))["ablations"][:2]
    one, other = params["ablations"]
    one["against"] = other["name"] + "x"
    assert f"ablations: {one['name']}: `against` is '{other['name']}x'" in refusal(params)
    one["against"] = one["name"]
    assert "no other ablation" in refusal(params)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"views": "document", "negatives": "group"}, "`views: document` needs `negatives: corpus`"),
        ({"temperature": 0.1}, "`temperature` is for the term `revela`; found contrastive"),
        ({"weights": "bm25"}, "`weights` is for the term `revela`"),
        ({"until_gain": 0.1}, "`until_gain` is for the term `revela`"),
        (
            {"terms": {"revela": 1.0}, "negatives": "group", "contrastive_groups": 1, "views": "crops"},
            "`views` is for the term `contrastive`",
        ),
        (
            {"terms": {"revela": 1.0}, "negatives": "group", "contrastive_groups": 1, "weights": "bm25"},
            "with `weights: bm25` the term `revela` does not train the retriever",
        ),
        ({"rows": "parts"}, "`rows` is for the term `revela`; found contrastive"),
        (
            {"terms": {"revela": 1.0}, "negatives": "step", "contrastive_groups": 1},
            "`negatives` is for the term `contrastive`; found revela",
        ),
        (
            {"terms": {"contrastive": 1.0, "replug": 1.0}, "negatives": "step", "contrastive_groups": 1},
            "`negatives: step` cannot be had beside the term `replug`",
        ),
        (
            {"negatives": "step", "contrastive_groups": 1, "views": "document"},
            "`views: document` needs `negatives: corpus`",
        ),
        (
            {"terms": {"revela": 1.0, "contrastive": 1.0}, "negatives": "group", "contrastive_groups": 1,
             "rows": "parts", "views": "crops"},
            "`rows: parts` goes with `views: halves` and without the term `replug`",
        ),
        (
            {"terms": {"revela": 1.0, "replug": 1.0}, "negatives": "group", "contrastive_groups": 1,
             "rows": "parts"},
            "`rows: parts` goes with `views: halves` and without the term `replug`",
        ),
    ],
)  # fmt: skip
def test_what_a_phase_would_ignore_is_refused(params, refusal, change, message):
    params["training"]["phases"] = [OF_CHUNKS | change]
    assert message in refusal(params)


def test_every_fault_is_named_with_key_value_and_what_is_allowed(params, refusal):
    params["batches"]["group_size"] = 1
    params["objective"]["temprature"] = 0.1
    params["objective"]["attention"] = "both"
    del params["training"]["phases"][0]["steps"]
    params["evaluate"]["bm25"] = {"b": 1.5}
    message = refusal(params)
    assert "5 fault(s)" in message
    assert "batches.group_size: Input should be greater than or equal to 2 (found 1)" in message
    assert "objective.temprature: unknown key (found 0.1)" in message
    assert "objective.attention: Input should be 'paper' or 'joint' (found 'both')" in message
    assert "training.phases.0.steps: required, but missing" in message
    assert "evaluate.bm25.b: Input should be less than or equal to 1 (found 1.5)" in message


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"train": ["lm"], "learning_rate": {"lm": 1e-4}}, "only the term `revela` trains it"),
        ({"learning_rate": {"lm": 1e-4}}, "exactly the keys of `train` (retriever), found lm"),
        ({"train": ["retriever", "retriever"]}, "names a model twice"),
        ({"warmup_steps": 90, "steps": 90}, "`warmup_steps` must be below `steps` (90)"),
    ],
)
def test_a_phase_must_make_sense(params, refusal, change, wanted):
    phase = {"name": "c", "train": ["retriever"], "terms": {"contrastive": 1.0}, "steps": 9,
             "learning_rate": {"retriever": 1e-4}, **change}  # fmt: skip
    params["training"]["phases"] = [phase]
    assert wanted in refusal(params)


def test_there_is_no_v_normalisation_to_leave_out_of_the_joint_form(params, refusal, tmp_path):
    params["objective"] |= {"attention": "joint", "v_norm": False}
    said = refusal(params)
    assert "1 fault(s)\n  objective: `v_norm: false` goes with `attention: paper`, found" in said
    assert said.endswith("set `attention: paper` or take `v_norm` out")
    assert loaded(params | {"objective": {"attention": "paper", "v_norm": False}}, tmp_path)
    assert loaded(params | {"objective": {"attention": "joint", "v_norm": True}}, tmp_path)


def loaded(params: dict, tmp_path: Path):
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(params), encoding="utf-8")
    return load_settings(path)


def test_a_step_is_contrasted_beside_the_term_revela_and_rows_may_be_parts(params, tmp_path):
    phase = {"terms": {"revela": 1.0, "contrastive": 1.0}, "negatives": "step", "contrastive_groups": 1,
             "rows": "parts"}  # fmt: skip
    params["training"]["phases"] = [OF_CHUNKS | phase]
    found = loaded(params, tmp_path).training.phases[0]
    assert (found.negatives, found.rows, found.views) == ("step", "parts", "halves")


def test_several_groups_of_a_step_are_one_batch_already(params, refusal):
    phase = {"negatives": "step", "terms": {"revela": 1.0, "contrastive": 1.0}}
    params["training"]["phases"] = [OF_CHUNKS | phase]
    assert "`contrastive_groups` is for phases whose only term is `contrastive`" in refusal(params)


def test_a_whole_step_cannot_be_contrasted_by_shares_of_a_model(params, refusal):
    params["training"]["phases"] = [OF_CHUNKS | {"negatives": "step", "contrastive_groups": 1}]
    params["training"] |= {"parallel": "fsdp", "probe": None}
    assert "`negatives: step` needs whole models in each process; set `parallel: ddp`" in refusal(params)


def test_shares_of_a_model_are_not_compiled(params, refusal):
    phases = params["training"]["phases"][:1]
    params["training"] |= {"compile": True, "parallel": "fsdp", "probe": None, "phases": phases}
    assert "`compile` has not been made to work with sharded weights; set `parallel: ddp`" in refusal(params)


@pytest.mark.parametrize(
    ("lora", "retriever", "lm"),
    [
        (None, None, None),
        ({"rank": 3}, 3, 3),
        ({}, 64, 64),
        ({"retriever": {"rank": 3}, "lm": None}, 3, None),
        ({"retriever": None, "lm": {}}, None, 64),
        ({"retriever": {"rank": 3}, "lm": {"rank": 5, "targets": "all-linear"}}, 3, 5),
    ],
)
def test_adapters_are_of_both_models_or_of_each_by_itself(params, tmp_path, lora, retriever, lm):
    params["training"]["lora"] = lora
    training = loaded(params, tmp_path).training
    adapters = [training.lora_of(part) for part in ("retriever", "lm")]
    assert [one and one.rank for one in adapters] == [retriever, lm]


@pytest.mark.parametrize(
    ("lora", "messages"),
    [
        ({"rnk": 3}, ["training.lora.rnk: unknown key (found 3)"]),
        ({"rank": 0}, ["training.lora.rank: Input should be greater than or equal to 1 (found 0)"]),
        (
            {"retriever": {"rnk": 3}, "lm": {"rank": -1}},
            ["training.lora.retriever.rnk: unknown key (found 3)",
             "training.lora.lm.rank: Input should be greater than or equal to 1 (found -1)"],
        ),
        ({"retriever": {"rank": 3}}, ["training.lora.lm: required, but missing"]),
        (
            {"retriever": None, "lm": None, "rank": 3},
            ["training.lora.rank: unknown key (found 3)"],
        ),
        ({"retriver": None, "lm": None}, ["training.lora.retriver: unknown key (found None)",
                                          "training.lora.retriever: required, but missing"]),
    ],
)  # fmt: skip
def test_a_wrong_key_of_adapters_is_named_by_its_own_path_in_either_form(params, refusal, lora, messages):
    params["training"]["lora"] = lora
    said = refusal(params)
    assert f"{len(messages)} fault(s)" in said
    for message in messages:
        assert f"  {message}" in said
    assert "(both)" not in said and "(each)" not in said


@pytest.mark.parametrize(
    ("key", "value"),
    [("groups_per_forward", 0), ("groups_per_forward", "all"), ("loader_workers", -1), ("lora", 3)],
)
def test_numbers_of_a_training_out_of_range_are_named(params, refusal, key, value):
    params["training"][key] = value
    said = refusal(params)
    assert f"training.{key}" in said and f"(found {value!r})" in said
    assert "(both)" not in said and "(each)" not in said


def test_phases_and_benchmarks_must_have_names_of_their_own(params, refusal):
    params["training"]["phases"] = [params["training"]["phases"][0]] * 2
    assert "`phases` must have different names" in refusal(params)
    params["evaluate"]["benchmarks"] = [{"kind": "docstrings"}] * 2
    assert "`benchmarks` must have different names" in refusal(params)


def test_the_primary_benchmark_must_be_evaluated(params, refusal):
    params["registry"]["primary_benchmark"] = "scifact"
    assert "registry.primary_benchmark is 'scifact', but evaluate.benchmarks has only docstrings" in refusal(
        params
    )


def test_a_guarded_benchmark_must_be_evaluated(params, refusal):
    params["registry"]["guarded"] = ["docstrings", "clases"]
    assert "registry.guarded has clases, but evaluate.benchmarks has only docstrings" in refusal(params)


def test_a_revision_belongs_to_the_hub(params, refusal):
    params["backbone"]["lm"]["revision"] = "main"
    assert "`revision` is only meaningful with `kind: hub`" in refusal(params)


def test_chunks_cannot_be_shorter_than_their_minimum(params, refusal):
    params["batches"] |= {"chunk_tokens": 20, "min_chunk_tokens": 30}
    assert "`min_chunk_tokens` (30) must not exceed `chunk_tokens` (20)" in refusal(params)


@pytest.mark.parametrize(
    ("content", "wanted"),
    [("a: [", "not valid YAML"), ("- 1\n- 2\n", "expected a mapping of sections, found list")],
)
def test_a_file_that_is_no_mapping_is_named(refusal, content, wanted):
    assert wanted in refusal(content)


def test_a_missing_file_says_where_to_run():
    with pytest.raises(RevelaError, match=r"no/params\.yaml: no such file\. Run from the project's root"):
        load_settings("no/params.yaml")

"""Overrides become checked settings before anything runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from revela.ablations.plan import plan
from revela.errors import RevelaError
from revela.settings import Settings, load_settings

ROOT = Path(__file__).parents[2]
SHIPPED = load_settings(ROOT / "params.yaml")
PHASE = {
    "name": "contrastive", "train": ["retriever"], "terms": {"contrastive": 1.0}, "steps": 2,
    "learning_rate": {"retriever": 1e-2},
}  # fmt: skip


def settings(*ablations: dict) -> Settings:
    folder = {"kind": "folder", "name": "unused"}
    return Settings.model_validate(
        {
            "backbone": {"retriever": folder, "lm": folder},
            "corpus": {"sources": [{"kind": "folder", "path": "unused"}]},
            "batches": {},
            "objective": {},
            "training": {"phases": [PHASE]},
            "evaluate": {"benchmarks": [{"kind": "docstrings"}]},
            "ablations": list(ablations),
        }
    )


def test_an_ablation_is_the_settings_with_some_values_changed():
    base = settings(
        {"name": "a", "overrides": {"objective.attention": "paper", "training.phases.0.steps": 7}}
    )
    (run,) = plan(base)
    assert (run.name, run.seed, run.label) == ("a", 0, "a, seed 0")
    assert run.settings.objective.attention == "paper"
    assert run.settings.training.phases[0].steps == 7
    assert run.settings.batches == base.batches
    assert base.training.phases[0].steps == 2


def test_names_and_seeds_choose_what_runs_in_the_order_of_the_file():
    base = settings(
        {"name": "a", "overrides": {"objective.temperature": 0.1}, "seeds": [3, 4]},
        {"name": "b", "overrides": {"objective.temperature": 0.2}},
        {"name": "c", "overrides": {"objective.temperature": 0.3}},
    )
    assert [(run.name, run.seed) for run in plan(base)] == [("a", 3), ("a", 4), ("b", 0), ("c", 0)]
    chosen = plan(base, ["c", "a"], [1, 2])
    assert [(run.name, run.seed) for run in chosen] == [("a", 1), ("a", 2), ("c", 1), ("c", 2)]
    assert chosen[1].settings.seed == 2


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"objective.attentoin": "paper"}, r"bad: objective\.attentoin: Extra inputs"),
        ({"objective.attention": "cross"}, r"bad: objective\.attention: Input should be"),
        ({"registry.experiment": "mine"}, "`registry.experiment` must be the same for all ablations"),
        ({"corpus.sources": []}, r"bad: corpus\.sources: List should have at least 1 item"),
        ({"evaluate.benchmarks": []}, "`evaluate.benchmarks` must be the same for all"),
        ({"training.fases.0.steps": 3}, "there is no `fases`"),
        ({"training.phases.5.steps": 3}, "there is no `5`"),
        ({"training.phases.0.steps.more": 3}, "nothing that has a key `more`"),
        ({"training.phases.2": PHASE}, "`training.phases.2`: there is no `2`; `1` would append to the list"),
        ({"training.phases.first": PHASE}, "there is no `first`"),
    ],
)
def test_every_faulty_override_is_named_with_its_ablation(overrides, message):
    base = settings(
        {"name": "bad", "overrides": overrides}, {"name": "worse", "overrides": {"batches.group_size": 1}}
    )
    with pytest.raises(RevelaError, match=message) as caught:
        plan(base)
    assert "ablations: worse: batches.group_size" in str(caught.value)


def test_an_unknown_name_lists_the_known_ones():
    base = settings({"name": "a", "overrides": {"objective.temperature": 0.1}})
    with pytest.raises(RevelaError, match=r"no ablation b in ablations\.yaml or .*; there are a\."):
        plan(base, ["a", "b"])


def test_two_ablations_must_not_share_a_name():
    one = {"name": "a", "overrides": {"objective.temperature": 0.1}}
    with pytest.raises(ValueError, match="`ablations` must have different names, found a, a"):
        settings(one, one)


def test_the_number_after_the_last_appends_to_a_list():
    source = {"kind": "folder", "path": "other", "weight": 1}
    base = settings({"name": "a", "overrides": {"corpus.sources.0.weight": 1, "corpus.sources.1": source}})
    (run,) = plan(base)
    assert [(str(one.path), one.weight) for one in run.settings.corpus.sources] == [
        ("unused", 1),
        ("other", 1),
    ]
    assert len(base.corpus.sources) == 1


def test_ablations_that_share_a_value_by_an_anchor_do_not_change_it_for_one_another():
    shared = [PHASE]
    base = settings(
        {"name": "a", "overrides": {"training.phases": shared, "training.phases.0.steps": 7}},
        {"name": "b", "overrides": {"training.phases": shared}},
    )
    assert [run.settings.training.phases[0].steps for run in plan(base)] == [7, 2]


def test_the_shipped_ablations_fit_the_shipped_settings():
    assert {run.name for run in plan(SHIPPED)} == {ablation.name for ablation in SHIPPED.ablations}


def test_the_shipped_ablations_ask_what_next_token_prediction_adds_at_equal_time_and_at_equal_data():
    runs = {run.name: run.settings for run in plan(SHIPPED, seeds=[0])}
    whole, alone, longer = runs["default"], runs["contrastive-alone"], runs["contrastive-longer"]
    assert whole.training == SHIPPED.training
    for wanted in (alone, longer, runs["contrastive-same-pairs"]):
        assert all(set(phase.terms) == {"contrastive"} for phase in wanted.training.phases)
    assert longer.training.phases[-1].steps > alone.training.phases[-1].steps
    assert alone.training.phases == whole.training.phases[: len(alone.training.phases)]
    revela, contrastive = runs["revela-alone"].training, runs["contrastive-same-pairs"].training
    assert {term for phase in revela.phases for term in phase.terms} == {"revela"}
    seen = [phase.pairs * phase.steps for phase in (revela.phases[-1], contrastive.phases[-1])]
    assert seen[0] == seen[1]
    assert runs["revela-paper"].objective.attention == "paper" != whole.objective.attention
    assert {phase.train[0] for phase in runs["frozen-lm"].training.phases[1:]} == {"retriever"}
    assert [set(phase.terms) for phase in runs["revela-after"].training.phases] == [
        {"contrastive"}, {"contrastive"}, {"revela"}, {"revela"},
    ]  # fmt: skip


def test_next_token_prediction_has_an_ablation_of_the_same_pairs_and_steps_without_it():
    runs = {run.name: run.settings for run in plan(SHIPPED, seeds=[0])}
    read = (
        "pairs",
        "related_pairs",
        "related_kinds",
        "related_by",
        "negatives",
        "steps",
        "warmup_steps",
        "decay",
    )
    phases = zip(SHIPPED.training.phases, runs["contrastive-same-steps"].training.phases, strict=True)
    for with_it, without in phases:
        # Each passes by what the ones before it have read, the language model's alone among them.
        assert all(getattr(with_it, key) == getattr(without, key) for key in read)
        assert with_it.learning_rate.get("retriever") == without.learning_rate.get("retriever")
        assert "retriever" not in without.train or set(without.terms) == {"contrastive"}


@pytest.mark.parametrize(
    ("name", "section"),
    [
        ("halves", "batches"),
        ("docstrings-alone", "batches"),
        ("with-docstrings-alone", "batches"),
        ("unrelated-pairs", "training"),
        ("half-the-pairs", "training"),
        ("related-by-words", "training"),
        ("related-by-retriever", "training"),
        ("whole-identifiers", "training"),
        ("equal-token-weights", "training"),
        ("adapters", "training"),
        ("near-the-start", "objective"),
        ("one-way", "objective"),
        ("other-domain", "corpus"),
        ("mixed-corpora", "corpus"),
    ],
)
def test_a_shipped_ablation_differs_in_one_section_from_contrastive_training_alone(name, section):
    runs = {run.name: run.settings for run in plan(SHIPPED, seeds=[0])}
    changed, plain = runs[name], runs["contrastive-alone"]
    assert [key for key in Settings.model_fields if getattr(changed, key) != getattr(plain, key)] == [section]
    assert {one.name: one.against for one in SHIPPED.ablations}[name] == "contrastive-alone"


@pytest.fixture(scope="module")
def from_nothing(tmp_path_factory) -> dict[str, Settings]:
    """Name -> settings of the ablations that come with the preset from-a-language-model."""
    folder = tmp_path_factory.mktemp("preset")
    name = "from-a-language-model"
    shutil.copy(ROOT / "presets" / f"{name}.ablations.yaml", folder / "ablations.yaml")
    path = shutil.copy(ROOT / "presets" / f"{name}.yaml", folder / "params.yaml")
    return {run.name: run.settings for run in plan(load_settings(path))}


def test_the_ablations_from_nothing_ask_the_papers_questions(from_nothing):
    """Those that the paper's own ablations ask, and what this project adds to them."""
    runs = from_nothing
    joint, replug, frozen = runs["revela-joint"], runs["replug"], runs["frozen-lm"]
    assert [set(phase.terms) for phase in replug.training.phases] == [{"replug"}]
    assert runs["revela-paper"].objective.attention == "paper" != joint.objective.attention
    assert {phase.train[0] for phase in frozen.training.phases} == {"retriever"}
    # V-normalisation means nothing in the joint form: there the ablation would compare a run with itself.
    for name in ("no-v-normalisation", "gate", "paper-temperature"):
        assert runs[name].objective.attention == "paper"
    assert not runs["no-v-normalisation"].objective.v_norm and runs["dual-loss"].objective.dual_loss
    assert runs["paper-temperature"].objective.temperature == 1e-4
    assert runs["query-ratio-0.5"].batches.query_ratio == 0.5
    assert runs["lm-check"].training.lm_check is not None
    for name in ("other-domain", "mixed-corpora", "revela-other-domain"):
        assert runs[name].corpus != joint.corpus
    assert runs["smaller-lm"].backbone.lm != joint.backbone.lm
    assert runs["smaller-retriever"].backbone.retriever != joint.backbone.retriever


@pytest.mark.parametrize("size", [4, 8, 32])
def test_groups_of_another_size_see_as_many_chunks(from_nothing, size):
    seen = []
    for wanted in (from_nothing["revela-joint"], from_nothing[f"groups-of-{size}"]):
        a_step = wanted.batches.group_size * wanted.training.groups_per_step
        steps = [phase.steps for phase in wanted.training.phases]
        seen.append(
            ([a_step * count for count in steps], wanted.batches.group_size * wanted.batches.max_groups)
        )
    assert seen[0] == seen[1]

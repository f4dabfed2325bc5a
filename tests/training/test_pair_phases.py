"""Phases that read pairs, trained from end to end."""

from __future__ import annotations

import inspect
import json
import shutil
import textwrap
import tomllib
from pathlib import Path

import pytest
from curves import curve
from pair_folders import SHARES, made_up, write_pairs
from sentence_transformers import SentenceTransformer

from revela.corpus.pipeline import filter_corpus
from revela.errors import RevelaError
from revela.evaluation.validation import validation_of
from revela.groups.pipeline import build_batches
from revela.pairs.reading import Pairs
from revela.settings import BatchesSettings, CorpusSettings
from revela.training.pipeline import train

STILL = 1e-12
"""A learning rate at which nothing is learnt: a step's loss then tells what it has read, and no more."""

MODULES = [inspect, textwrap, json.decoder, json.encoder, tomllib, shutil]


def phase(name: str = "pairs", rate: float = 1e-2, **fields) -> dict:
    changed = {"train": ["retriever"], "terms": {"contrastive": 1.0}, "steps": 4, "pairs": 8, **fields}
    return {"name": name, "learning_rate": {part: rate for part in changed["train"]}, **changed}


BOTH = {"train": ["retriever", "lm"], "rows": "parts"}


@pytest.fixture
def trained(make_settings, new_places, pairs_folder, tmp_path):
    """Train these phases on groups and pairs, and read the curve."""

    def run(
        *phases: dict, name: str = "run", folder: Path = pairs_folder, **training
    ) -> list[dict[str, str]]:
        settings = make_settings(
            {"phases": list(phases), **training}, batches={"group_size": 4, "pairs": {"kinds": "auto"}}
        )
        places = new_places(tmp_path / name) | {"groups_dir": folder}
        train(settings, **places, validate=validation_of(settings, folder))
        return curve(places)

    return run


def column(rows: list[dict[str, str]], key: str, phase: str | None = None) -> list[float]:
    return [float(row[key]) for row in rows if row[key] and phase in (None, row["phase"])]


def test_a_contrastive_phase_learns_to_find_a_pairs_passage(trained):
    rows = trained(phase(steps=40, decay="constant"))
    losses = column(rows, "contrastive_loss")
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])
    assert all(value > 0 for value in column(rows, "grad_norm_retriever"))


@pytest.mark.parametrize(
    ("fields", "losses"),
    [
        ({**BOTH, "terms": {"revela": 1.0}}, {"conditioned_loss"}),
        ({**BOTH, "terms": {"revela": 1.0, "contrastive": 0.5}}, {"conditioned_loss", "contrastive_loss"}),
        ({"negatives": "step"}, {"contrastive_loss"}),
        ({**BOTH, "terms": {"revela": 1.0, "contrastive": 0.5}, "negatives": "step"},
         {"conditioned_loss", "contrastive_loss"}),
        ({**BOTH, "train": ["lm"], "terms": {"revela": 1.0}, "weights": "bm25"}, {"conditioned_loss"}),
    ],
    ids=["revela", "both", "step", "both, step", "given weights"],
)  # fmt: skip
def test_every_term_that_reads_two_parts_reads_pairs(trained, fields, losses):
    rows = trained(phase(**{"steps": 2, **fields}), groups_per_step=2)
    assert len(rows) == 2
    for row in rows:
        assert {key for key in ("conditioned_loss", "contrastive_loss") if row[key]} == losses
        assert all(float(row[f"grad_norm_{part}"]) > 0 for part in fields.get("train", ["retriever"]))
    terms = fields.get("terms", {"contrastive": 1.0})
    weighted = {"conditioned_loss": terms.get("revela"), "contrastive_loss": terms.get("contrastive")}
    assert column(rows, "loss")[0] == pytest.approx(
        sum(weighted[key] * column(rows, key)[0] for key in losses), rel=1e-3
    )


@pytest.mark.parametrize("negatives", ["group", "step"])
def test_the_language_model_reads_as_many_of_the_pairs_as_it_is_given(trained, negatives):
    def beside(**fields) -> dict:
        terms = {"contrastive": 1.0, "revela": 1.0}
        return phase(rate=STILL, steps=2, terms=terms, negatives=negatives, **BOTH, **fields)

    all_of_them = trained(beside(), name="all")
    few = trained(beside(lm_pairs=3), name="few")
    alone = trained(phase(rate=STILL, steps=2), name="contrastive")
    for rows in (all_of_them, few):
        assert column(rows, "contrastive_loss") == pytest.approx(column(alone, "contrastive_loss"), rel=1e-5)
    texts, all_texts, few_texts = (column(rows, "tokens") for rows in (alone, all_of_them, few))
    for contrasted, whole, part in zip(texts, all_texts, few_texts, strict=True):
        # Three of eight pairs, each of another length.
        assert 0.1 < (part - contrasted) / (whole - contrasted) < 0.7


def test_which_pairs_come_together_may_be_the_retrievers_business(trained, tmp_path):
    def drawn(name: str, **fields) -> list[float]:
        return column(trained(phase(rate=STILL, steps=3, **fields), name=name), "contrastive_loss")

    by_retriever = drawn("retriever", related_pairs=4, related_by="retriever")
    assert by_retriever == pytest.approx(drawn("again", related_pairs=4, related_by="retriever"), rel=1e-5)
    assert by_retriever != pytest.approx(drawn("words", related_pairs=4), rel=1e-3)
    assert not list((tmp_path / "retriever").rglob("seen")), "what was only needed to draw is gone"


def test_both_gradients_lengths_are_recorded_where_they_are_weighed(trained):
    weighed = {"terms": {"contrastive": 1.0, "revela": 0.5}, "negatives": "step", "weigh": "gradients"}
    rows = trained(phase(steps=2, lm_pairs=4, **weighed, **BOTH), groups_per_step=2)
    for key in ("gradient_contrastive", "gradient_revela"):
        assert len(column(rows, key)) == 2
        assert all(value > 0 for value in column(rows, key))


def test_a_phase_goes_on_with_the_pairs_after_those_of_the_phase_before(trained):
    whole = trained(phase(rate=STILL, steps=6), name="whole")
    losses = column(whole, "contrastive_loss")
    assert len(set(losses)) == 6, "every step reads other pairs"
    again = trained(phase("one", STILL, steps=2), phase("two", STILL, steps=4), name="again")
    assert column(again, "contrastive_loss") == pytest.approx(losses, rel=1e-5)


def test_groups_and_pairs_are_read_on_beside_one_another(trained):
    def groups(name: str, steps: int) -> dict:
        return phase(name, STILL, steps=steps, pairs=None)

    alone = column(trained(groups("groups", 4), name="groups"), "contrastive_loss")
    pairs = column(trained(phase(rate=STILL, steps=4), name="pairs"), "contrastive_loss")
    rows = trained(
        groups("a", 2), phase("b", STILL, steps=3), groups("c", 2), phase("d", STILL, steps=1), name="mixed"
    )
    for phases, wanted in (("ac", alone), ("bd", pairs)):
        found = [value for name in phases for value in column(rows, "contrastive_loss", name)]
        assert found == pytest.approx(wanted, rel=1e-5)


def test_a_phase_that_reads_pairs_where_there_are_none_names_the_stage(trained, groups_folder):
    with pytest.raises(RevelaError, match=r"no pairs-\*\.parquet. Run the stage build_batches first"):
        trained(phase(), folder=groups_folder)


def test_too_few_pairs_to_choose_by_stop_before_anything_is_trained(trained, groups_folder, tmp_path):
    folder = shutil.copytree(groups_folder, tmp_path / "few")
    write_pairs(folder, made_up(), SHARES, lambda pair: False)
    with pytest.raises(RevelaError, match=r"training.validation: 0 pairs are held out, too few"):
        trained(phase(), folder=folder, validation={})
    assert not (tmp_path / "run").exists()


def test_pairs_that_build_batches_finds_train_and_choose_a_retriever(
    make_settings, new_places, backbone_folder, tmp_path
):
    (tmp_path / "raw").mkdir()
    for module in MODULES:
        name = module.__name__.replace(".", "_")
        (tmp_path / "raw" / f"{name}.py").write_text(inspect.getsource(module))
    batches = {
        "group_size": 4, "chunk_tokens": 40, "min_chunk_tokens": 16, "max_groups": 20,
        "pairs": {"kinds": {"docstring": 2.0, "definition": 1.0}, "held_out": 0.3},
    }  # fmt: skip
    folders = [tmp_path / name for name in ("documents", "filter_report", "groups", "batches_report")]
    documents, filtered, groups, report = folders
    filter_corpus(
        CorpusSettings(sources=[{"kind": "folder", "path": tmp_path / "raw"}]), [], documents, filtered
    )
    build_batches(
        BatchesSettings.model_validate(batches), 0, documents, backbone_folder / "retriever", groups, report
    )
    assert len(Pairs(groups).held_out()) >= 10, "of one of six documents at least"
    settings = make_settings({"phases": [phase()], "validation": {"every": 2}}, batches=batches)
    places = new_places(tmp_path / "run") | {"groups_dir": groups}
    train(settings, **places, validate=validation_of(settings, groups))
    kept = json.loads((places["report_dir"] / "metrics.json").read_text())["kept"]
    assert set(kept["scores_of_start"]) <= {"docstring", "definition"}
    assert [one["step"] for one in kept["measured"][:3]] == [0, 2, 4]
    retriever = SentenceTransformer(str(places["models_dir"] / "retriever"), device="cpu")
    assert retriever.encode_query("wrap a paragraph").shape == (32,)

"""How good a state of the retriever is, by pairs that training never sees or by a user's own questions."""

from __future__ import annotations

import json

import pytest
from pair_folders import SHARES, is_held_out, made_up, write_pairs

from revela.errors import RevelaError
from revela.evaluation.benchmarks import Benchmark
from revela.evaluation.dense import dense_run
from revela.evaluation.loading import load_encoder
from revela.evaluation.scoring import mean_scores, score
from revela.evaluation.validation import Validation, validation_of
from revela.settings import Settings, ValidationSettings

HELD_OUT = [pair for pair in made_up() if is_held_out(pair)]


def settings(**fields) -> ValidationSettings:
    return ValidationSettings(**{"pairs": 20, "max_tokens": 48, **fields})


@pytest.fixture
def encoder(backbone_folder):
    return load_encoder(backbone_folder / "retriever", max_tokens=64, precision="fp32").train()


def test_each_query_looks_for_its_passage_among_those_of_its_kind(pairs_folder, backbone_folder, encoder):
    validation = Validation(settings(every=7), pairs_folder)
    mean, kinds, each = validation(encoder)
    scores = {}
    for kind in SHARES:
        numbered = {str(number): pair for number, pair in enumerate(HELD_OUT) if pair.kind == kind}
        benchmark = Benchmark(
            "held out",
            {key: pair.passage for key, pair in numbered.items()},
            {key: pair.query for key, pair in numbered.items()},
            {key: {key: 1} for key in numbered},
            description="",
            code=False,
        )
        run = dense_run(
            backbone_folder / "retriever", benchmark, max_tokens=48, batch_size=8, precision="fp32"
        )
        scores[kind] = score(benchmark.qrels, run)["ndcg_at_10"]
    assert kinds == pytest.approx({kind: found.mean() for kind, found in scores.items()})
    of_all = [value for found in scores.values() for value in found]
    assert sorted(each) == pytest.approx(sorted(of_all))
    assert mean == pytest.approx(sum(of_all) / len(of_all))
    assert 0.05 < mean < 0.95 and kinds["title"] != kinds["heading"]
    assert validation.every == 7


def test_it_leaves_the_model_as_it_was_and_says_the_same_again(pairs_folder, encoder):
    validation = Validation(settings(), pairs_folder)
    first = validation(encoder)
    assert encoder.training and encoder.max_seq_length == 64
    assert validation(encoder) == first


def test_texts_are_cut(pairs_folder, encoder):
    whole, cut = (Validation(settings(max_tokens=tokens), pairs_folder)(encoder)[0] for tokens in (48, 8))
    assert whole != cut


def test_the_mean_is_over_queries_of_which_each_kind_has_so_many_at_most(pairs_folder, encoder):
    mean, kinds, _ = Validation(settings(pairs=10), pairs_folder)(encoder)
    # 10 of 16 titles, and all 4 headings.
    assert mean == pytest.approx((10 * kinds["title"] + 4 * kinds["heading"]) / 14)


@pytest.mark.parametrize("held_out", [0, 9])
def test_too_few_to_tell_anything_is_an_error_with_every_way_out(tmp_path, held_out):
    few = [pair.query for pair in made_up()[:held_out]]
    folder = write_pairs(tmp_path, made_up(), SHARES, lambda pair: pair.query in few)
    with pytest.raises(RevelaError) as caught:
        Validation(settings(), folder)
    said = str(caught.value)
    assert said.startswith(f"training.validation: {held_out} pairs are held out, too few to tell anything")
    for way in ("batches.pairs.held_out", "training.validation.benchmark", "take `validation` out"):
        assert way in said


def test_ten_are_enough(tmp_path, encoder):
    few = [pair.query for pair in made_up()[:10]]
    folder = write_pairs(tmp_path, made_up(), SHARES, lambda pair: pair.query in few)
    mean, kinds, _ = Validation(settings(), folder)(encoder)
    assert kinds == {"title": pytest.approx(mean)}


def test_groups_without_pairs_name_the_stage_that_finds_them(groups_folder):
    with pytest.raises(RevelaError, match=r"no pairs-\*\.parquet. Run the stage build_batches first"):
        Validation(settings(), groups_folder)


@pytest.fixture
def mine(tmp_path) -> dict:
    """A user's own few questions, in BEIR layout."""
    folder = tmp_path / "mine"
    (folder / "qrels").mkdir(parents=True)
    lines = {
        "corpus.jsonl": [{"_id": f"d{n}", "text": pair.passage} for n, pair in enumerate(HELD_OUT)],
        "queries.jsonl": [{"_id": f"q{n}", "text": pair.query} for n, pair in enumerate(HELD_OUT[:3])],
    }  # fmt: skip
    for name, rows in lines.items():
        (folder / name).write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    qrels = ["query-id\tcorpus-id\tscore", *(f"q{number}\td{number}\t1" for number in range(3))]
    (folder / "qrels" / "dev.tsv").write_text("\n".join(qrels) + "\n")
    return {"kind": "beir", "name": "mine", "path": folder, "split": "dev"}


def test_a_users_own_questions_need_no_pairs(mine, groups_folder, backbone_folder, encoder):
    validation = Validation(settings(benchmark=mine), groups_folder)
    mean, scores, each = validation(encoder)
    assert scores == {"questions": mean} and sum(each) / len(each) == pytest.approx(mean)
    run = dense_run(
        backbone_folder / "retriever",
        validation._benchmarks["questions"],
        max_tokens=48,
        batch_size=8,
        precision="fp32",
    )
    assert mean == pytest.approx(
        mean_scores(score(validation._benchmarks["questions"].qrels, run))["ndcg_at_10"]
    )
    assert len(run) == 3


def test_questions_that_cannot_be_read_are_named(mine, groups_folder):
    (mine["path"] / "queries.jsonl").unlink()
    with pytest.raises(RevelaError, match="mine"):
        Validation(settings(benchmark=mine), groups_folder)


@pytest.mark.parametrize(
    ("training", "measured"),
    [
        ({"validation": {}}, True),
        ({"validation": {}, "keep": "last"}, False),
        ({"validation": None}, False),
    ],
)
def test_nothing_is_measured_where_nothing_is_chosen(pairs_folder, training, measured):
    phase = {"name": "x", "train": ["retriever"], "terms": {"contrastive": 1.0}, "steps": 1,
             "learning_rate": {"retriever": 1e-3}, "pairs": 4}  # fmt: skip
    folder = {"kind": "folder", "name": "unused"}
    chosen = Settings.model_validate(
        {
            "backbone": {"retriever": folder, "lm": folder},
            "corpus": {"sources": [{"kind": "folder", "path": "unused"}]},
            "batches": {"pairs": {}},
            "objective": {},
            "training": {"phases": [phase], **training},
            "evaluate": {"benchmarks": [{"kind": "docstrings"}]},
        }
    )
    assert isinstance(validation_of(chosen, pairs_folder), Validation) == measured

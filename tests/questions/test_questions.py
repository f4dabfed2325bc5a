"""Questions that a language model writes: which passages, what it is told, what is kept, what is dropped."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from sentence_transformers import SentenceTransformer

from revela.errors import RevelaError
from revela.evaluation.vector_cache import VectorCache
from revela.pairs.generated import GENERATED, Generated
from revela.pairs.mining import mine
from revela.pairs.pair import Pair
from revela.questions import pipeline
from revela.questions.choosing import choose
from revela.questions.found_again import ranks_of
from revela.questions.prompt import prompt_of, question_of
from revela.settings import GeneratedSettings, ModelSource, PairsSettings, Settings

SETTINGS = GeneratedSettings(
    passages=12, examples=[], passage_tokens=24, question_tokens=12, batch_size=4, found_within=None
)
CHAT = (
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}</>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
EXAMPLE = {"passage": "Water boils at 100 degrees.", "question": "When does water boil?"}


@pytest.fixture
def documents(groups_folder: Path) -> Path:
    return groups_folder.parent / "documents"


def generate(documents: Path, backbone: Path, cache: Path, seed: int = 0, **change: object) -> Generated:
    return pipeline.generate(SETTINGS.model_copy(update=change), seed, documents, backbone, cache)


def test_a_smaller_number_of_passages_are_the_first_of_a_larger_one(documents):
    many = choose(documents, 40, seed=0)
    assert len({asked.key for asked in many}) == 40
    assert choose(documents, 7, seed=0) == many[:7]
    assert choose(documents, 7, seed=1) != many[:7]
    assert len({asked.document_id for asked in many}) > 1, "drawn from the whole corpus"


def test_a_model_with_a_chat_template_reads_a_conversation(tokenizer):
    chatting = copy.deepcopy(tokenizer)
    chatting.chat_template = CHAT
    settings = GeneratedSettings(instruction="Ask.", examples=[EXAMPLE], passage_tokens=16)
    assert prompt_of("Ice melts at 0.", settings, chatting) == (
        "<user>Ask.\n\nWater boils at 100 degrees.</><assistant>When does water boil?</>"
        "<user>Ask.\n\nIce melts at 0.</><assistant>"
    )


def test_another_model_reads_a_text_that_goes_on_and_as_much_of_a_passage_as_it_is_told(tokenizer):
    settings = GeneratedSettings(instruction="Ask.", examples=[EXAMPLE], passage_tokens=16)
    long = "Ice melts at 0. " * 20
    begins = tokenizer.decode(tokenizer(long)["input_ids"][:16]).strip()
    assert len(begins) < len(long) / 4
    assert prompt_of(long, settings, tokenizer) == (
        "Ask.\n\nText: Water boils at 100 degrees.\nQuestion: When does water boil?"
        f"\n\nText: {begins}\nQuestion:"
    )


@pytest.mark.parametrize(
    ("answer", "question"),
    [
        (" Why is the sky blue?", "Why is the sky blue?"),
        ('\n\n"Why is it so?"\nText: next', "Why is it so?"),
        ("Question: **How do I sort?**", "How do I sort?"),
        (" \n ", ""),
    ],
)
def test_the_question_is_the_first_line_that_says_something(answer, question):
    assert question_of(answer) == question


def test_every_passage_is_asked_about_and_a_second_run_writes_nothing_anew(
    documents, backbone_folder, tmp_path, monkeypatch
):
    first = generate(documents, backbone_folder, tmp_path / "cache")
    asked = {one.passage: one for one in choose(documents, 12, seed=0)}
    assert len(first.pairs) + first.dropped.get("no_question", 0) == 12 and len(first.pairs) > 6
    for pair in first.pairs:
        assert pair.kind == GENERATED and pair.query
        assert (pair.document_id, pair.source) == (
            asked[pair.passage].document_id, asked[pair.passage].source
        )  # fmt: skip
    assert generate(documents, backbone_folder, tmp_path / "other") == first, "the seed decides the words"
    assert generate(documents, backbone_folder, tmp_path / "cache", seed=1) != first

    monkeypatch.setattr(pipeline, "load_pretrained", None)  # calling it would raise
    assert generate(documents, backbone_folder, tmp_path / "cache") == first


def test_an_interrupted_run_goes_on_and_a_damaged_file_is_written_again(documents, backbone_folder, tmp_path):
    cache = tmp_path / "cache"
    first = generate(documents, backbone_folder, cache)
    files = sorted((cache / "questions").rglob("*.json"))
    assert len(files) == 3
    before = files[2].read_bytes(), files[2].stat().st_mtime_ns
    contents = [file.read_text() for file in files]
    files[0].unlink()
    files[1].write_text('["half')
    assert generate(documents, backbone_folder, cache) == first
    assert [file.read_text() for file in files] == contents
    assert (files[2].read_bytes(), files[2].stat().st_mtime_ns) == before, "what was there was not touched"


def test_more_passages_keep_what_is_written_and_other_words_are_not_mixed_with_it(
    documents, backbone_folder, tmp_path
):
    generate(documents, backbone_folder, tmp_path)
    generate(documents, backbone_folder, tmp_path, passages=16)
    (folder,) = (tmp_path / "questions").iterdir()
    assert len(list(folder.iterdir())) == 4
    generate(documents, backbone_folder, tmp_path, instruction="Ask something else.")
    assert len(list((tmp_path / "questions").iterdir())) == 2


def test_a_question_stands_where_its_passage_is_found_and_ties_count_against_it(backbone_folder, tmp_path):
    passages = [
        "def parse(text): return text.split()",
        "import os, sys",
        "class Reader: pass",
        "import os, sys",
    ]
    model = SentenceTransformer(str(backbone_folder / "retriever"))
    embedded = model.encode(passages, prompt_name="document", normalize_embeddings=True)
    asked = model.encode(passages, prompt_name="query", normalize_embeddings=True)
    scores = asked @ embedded.T
    wanted = [
        sum(other >= own - 1e-6 for other in row) - 1
        for own, row in zip(scores.diagonal(), scores, strict=True)
    ]
    found = ranks_of(passages, passages, backbone_folder / "retriever", 64, VectorCache(tmp_path))
    assert found.tolist() == wanted
    assert min(found[1], found[3]) >= 1, "each has a passage of the same words beside its own"


def test_a_question_that_does_not_find_its_passage_is_dropped_and_counted(
    documents, backbone_folder, tmp_path, monkeypatch
):
    everything = generate(documents, backbone_folder, tmp_path)
    ranks = np.arange(len(everything.pairs))
    monkeypatch.setattr(pipeline, "ranks_of", lambda *_: ranks)
    kept = generate(documents, backbone_folder, tmp_path, found_within=3)
    assert list(kept.pairs) == list(everything.pairs[:3])
    assert kept.dropped["not_found_again"] == len(everything.pairs) - 3
    monkeypatch.setattr(pipeline, "ranks_of", lambda *_: ranks + 3)
    with pytest.raises(RevelaError, match=r"of 12 questions none is left .*raise `found_within`"):
        generate(documents, backbone_folder, tmp_path, found_within=3)


def test_generated_pairs_go_through_what_all_pairs_go_through(documents):
    def pair(query: str, passage: str) -> Pair:
        return Pair(GENERATED, query, passage, "a.py", "folder:raw")

    words = "one two three four five six seven eight nine"
    written = Generated(
        [pair("how to do it", words), pair("how to do that", words), pair("too short", words + " ten"),
         pair("asked by a benchmark", words + " ten")], {"no_question": 2, "not_found_again": 5},
    )  # fmt: skip
    settings = PairsSettings(kinds={GENERATED: 1}, generated=GeneratedSettings())
    mined = mine(documents, settings, 0, ["Asked by a benchmark"], workers=1, generated=written)
    assert {kind: [pair.query for pair in pairs] for kind, pairs in mined.pairs.items()} == {
        GENERATED: ["how to do it"]
    }
    assert {reason: dict(kinds) for reason, kinds in mined.dropped.items()} == {
        reason: {GENERATED: number}
        for reason, number in {"repeated_passage": 1, "short_query": 1, "benchmark_query": 1,
                               "no_question": 2, "not_found_again": 5}.items()
    }  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kinds": {"generated": 1}}, r"nothing says who writes them; set `generated: \{\}` beside it"),
        ({"kinds": {"title": 1}, "generated": {}}, "`generated` is set, but `kinds` does not name it"),
    ],
)
def test_who_writes_and_that_it_is_wanted_must_both_be_said(settings, message):
    with pytest.raises(ValueError, match=message):
        PairsSettings(**settings)
    assert PairsSettings(generated={}).generated.passages == 1000, "with `kinds: auto` one word is enough"


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"kind": "folder", "name": "nowhere"}, "no config.json there"),
        ({"kind": "wheel", "name": "no-such-wheel"}, "is not installed"),
    ],
)
def test_a_model_that_is_not_there_is_named_before_any_work(model, message):
    params = yaml.safe_load((Path(__file__).parents[2] / "params.yaml").read_text())
    params["batches"]["pairs"]["generated"] = {"model": model}
    with pytest.raises(RevelaError, match=rf"^batches\.pairs\.generated\.model: .*{message}"):
        pipeline.check_model(Settings(**params))
    del params["batches"]["pairs"]["generated"]
    pipeline.check_model(Settings(**params))


def test_a_model_that_cannot_be_loaded_or_that_cannot_pad_is_named(
    documents, backbone_folder, tmp_path, tokenizer
):
    missing = ModelSource(kind="folder", name=str(tmp_path / "none"))
    with pytest.raises(RevelaError, match="cannot be loaded"):
        generate(documents, backbone_folder, tmp_path, model=missing)
    folder = tmp_path / "backbone"
    (folder / "lm").mkdir(parents=True)
    for file in (backbone_folder / "lm").iterdir():
        (folder / "lm" / file.name).write_bytes(file.read_bytes())
    file = folder / "lm" / "tokenizer_config.json"
    said = json.loads(file.read_text())
    unpadded = {key: value for key, value in said.items() if key not in ("pad_token", "eos_token")}
    file.write_text(json.dumps(unpadded))
    with pytest.raises(RevelaError, match="has neither a pad nor an eos token"):
        generate(documents, folder, tmp_path)


def test_the_same_questions_come_without_sampling(documents, backbone_folder, tmp_path):
    torch.manual_seed(5)
    first = generate(documents, backbone_folder, tmp_path / "a", temperature=0.0)
    assert (
        generate(
            documents,
            backbone_folder,
            tmp_path / "b",
            temperature=0.0,
        ).pairs
        == first.pairs
    )

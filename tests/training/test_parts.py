"""The pieces that the training stage is made of."""

from __future__ import annotations

import inspect

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import nn
from transformers import PreTrainedTokenizerFast

from revela.chunks.chunking import Chunker
from revela.chunks.tokenizer import check_room, load_tokenizer
from revela.corpus.schema import Document
from revela.errors import RevelaError
from revela.groups.reading import Groups
from revela.modeling.retriever import Retriever
from revela.settings import Phase
from revela.training import checkpoints
from revela.training.collator import GroupCollator
from revela.training.flops import matmul_weights, step_flops
from revela.training.group_slice import StepChunks
from revela.training.model import JointModel
from revela.training.precision import resolve_dtype
from revela.training.records import StepRecorder, read_rows, summarise, write_reproducible

# --- collator -----------------------------------------------------------------------------------


def phase(train: list[str], *, changes: dict | None = None, **terms: float) -> Phase:
    rates = {part: 1e-3 for part in train}
    return Phase(name="x", train=train, terms=terms, steps=1, learning_rate=rates, **(changes or {}))


BOTH = phase(["retriever", "lm"], revela=1.0, contrastive=1.0)


def whole(group) -> StepChunks:
    return StepChunks(list(group), [], 0)


@pytest.fixture
def other_tokenizer() -> PreTrainedTokenizerFast:
    """An LM tokenizer that shares nothing with the retriever's."""
    backend = Tokenizer(models.WordLevel(unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.train_from_iterator(
        ["def return self"], trainers.WordLevelTrainer(special_tokens=["<unk>", "<pad>"])
    )
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", pad_token="<pad>")


def test_halves_and_chunks_reach_the_retriever_as_prefix_text_eos(backbone_folder, groups_folder, tokenizer):
    group = Groups(groups_folder)[0]
    retriever = Retriever(backbone_folder / "retriever")
    collate = GroupCollator(retriever, tokenizer, 64, BOTH)
    batch = collate([whole(group)])

    def text(name: str, row: int) -> str:
        ids = batch[name]["input_ids"][row][batch[name]["attention_mask"][row].bool()]
        return tokenizer.decode(ids)

    for row, chunk in enumerate(group):
        first, rest = chunk.text[: chunk.query_end], chunk.text[chunk.query_end :]
        # 64 tokens are all that this retriever takes; a text beyond is cut, its <eos> is not.
        assert text("query", row) == f"query: {first}<eos>"
        assert text("rest", row) == f"passage: {rest}<eos>"
        assert text("passage", row).startswith("passage: ") and text("passage", row).endswith("<eos>")
    assert batch["documents"] == [[chunk.document_id for chunk in group]]


def test_a_continuation_is_the_tokens_that_begin_after_the_query(backbone_folder, groups_folder, tokenizer):
    group = Groups(groups_folder)[0]
    collate = GroupCollator(
        Retriever(backbone_folder / "retriever"), tokenizer, 64, phase(["retriever"], replug=1.0)
    )
    batch = collate([whole(group)])
    assert "rest" not in batch
    for row, chunk in enumerate(group):
        labels, ids = batch["continuation"][row], batch["lm"]["input_ids"][row]
        second = labels != -100
        assert labels[second].equal(ids[second]) and second.any()
        # One stretch to the end of what is read; the token across the cut belongs to the first part.
        text = tokenizer.decode(ids[second])
        assert chunk.text[chunk.query_end :].replace(" ", "").find(text.replace(" ", "")) in range(12)


def test_the_lm_reads_the_same_chunks_through_its_own_tokenizer(
    backbone_folder, groups_folder, other_tokenizer
):
    group = Groups(groups_folder)[0]
    collate = GroupCollator(
        Retriever(backbone_folder / "retriever"), other_tokenizer, 16, phase(["lm"], revela=1.0)
    )
    batch = collate([whole(group)])
    assert "rest" not in batch, "what no term reads is not tokenised"
    ids, mask, labels = (batch["lm"][key] for key in ("input_ids", "attention_mask", "labels"))
    assert ids.shape[1] <= 16
    for row, chunk in enumerate(group):
        wanted = other_tokenizer(chunk.text).input_ids[:16]
        assert ids[row][mask[row].bool()].tolist() == wanted
        assert labels[row].tolist() == wanted + [-100] * (ids.shape[1] - len(wanted))


def test_what_the_lm_does_not_read_is_stated(backbone_folder, groups_folder, other_tokenizer):
    group = Groups(groups_folder)[0]
    retriever = Retriever(backbone_folder / "retriever")
    lengths = [len(other_tokenizer(chunk.text).input_ids) for chunk in group]
    assert 10 < max(lengths) < 200
    for limit in (10, 200):
        collate = GroupCollator(retriever, other_tokenizer, limit, phase(["lm"], revela=1.0))
        share = sum(max(0, length - limit) for length in lengths) / sum(lengths)
        assert collate([whole(group)])["figures"] == {"lm_tokens_cut_share": pytest.approx(share)}
    assert (
        GroupCollator(retriever, other_tokenizer, 10, phase(["retriever"], contrastive=1.0))([whole(group)])[
            "figures"
        ]
        == {}
    )


def test_titles_stand_before_passages_and_never_before_queries(backbone_folder, tokenizer):
    retriever = Retriever(backbone_folder / "retriever")
    backend = load_tokenizer(backbone_folder / "retriever")
    text = inspect.getsource(inspect)
    document = Document("inspect.py", "Of live objects", text, "s", "python")
    room = 64 - len(backend.encode("passage: ", add_special_tokens=False)) - 1  # <eos>
    check_room(backbone_folder / "retriever", backend, room)
    with pytest.raises(RevelaError, match=rf"chunk_tokens is {room + 1}.*at most {room}, or raise backbone"):
        check_room(backbone_folder / "retriever", backend, room + 1)
    [(_, chunks)] = Chunker(backend, room, 8, 0.25, titles=True).chunks([document])
    batch = GroupCollator(retriever, tokenizer, 64, BOTH)([whole(chunks)])

    def texts(name: str) -> list[str]:
        rows = zip(batch[name]["input_ids"], batch[name]["attention_mask"].bool(), strict=True)
        return [tokenizer.decode(ids[mask]) for ids, mask in rows]

    # None is cut: the retriever reads all of every text, to the last token that it has room for.
    assert texts("passage") == [f"passage: Of live objects\n{chunk.text}<eos>" for chunk in chunks]
    assert texts("query") == [f"query: {chunk.text[: chunk.query_end]}<eos>" for chunk in chunks]
    assert texts("rest") == [
        f"passage: Of live objects\n{chunk.text[chunk.query_end :]}<eos>" for chunk in chunks
    ]
    assert batch["passage"]["input_ids"].shape[1] in (63, 64)


# --- model --------------------------------------------------------------------------------------


@pytest.fixture
def joint(backbone_folder, make_settings) -> JointModel:
    settings = make_settings()
    torch.manual_seed(0)
    return JointModel(backbone_folder, settings.training, settings.objective, torch.float32)


@pytest.fixture
def batch(backbone_folder, groups_folder, tokenizer) -> dict:
    collate = GroupCollator(Retriever(backbone_folder / "retriever"), tokenizer, 64, BOTH)
    inputs = collate([whole(Groups(groups_folder)[0])])
    del inputs["documents"], inputs["figures"]
    return inputs


def test_other_views_and_given_weights_bring_what_their_terms_read(backbone_folder, groups_folder, tokenizer):
    retriever, group = Retriever(backbone_folder / "retriever"), Groups(groups_folder)[0]
    crops = phase(["retriever"], contrastive=1.0, changes={"views": "crops"})
    assert set(GroupCollator(retriever, tokenizer, 64, crops)([whole(group)])) == {
        "view", "rest", "documents", "sizes", "figures"
    }  # fmt: skip
    given = phase(["lm"], revela=1.0, changes={"weights": "bm25"})
    batch = GroupCollator(retriever, tokenizer, 64, given)([whole(group)])
    assert set(batch) == {"lm", "given", "documents", "sizes", "figures"}
    assert batch["given"].shape == (1, len(group), len(group))


def test_with_given_weights_the_language_model_learns_and_the_retriever_is_not_run(
    joint, backbone_folder, groups_folder, tokenizer
):
    settings = phase(["lm"], revela=1.0, changes={"weights": "bm25"})
    joint.enter(settings)
    inputs = GroupCollator(joint.retriever, tokenizer, 64, settings)([whole(Groups(groups_folder)[0])])
    del inputs["documents"], inputs["figures"]
    joint.retriever.forward = None  # would fail if called
    joint(**inputs)["loss"].backward()
    assert all(weight.grad is not None for weight in joint.parameters_of("lm"))


@pytest.mark.parametrize("train", [["retriever"], ["lm"], ["retriever", "lm"]], ids="+".join)
def test_a_phase_gives_gradients_to_the_models_it_names_and_no_other(joint, batch, train):
    joint.enter(phase(train, revela=1.0))
    joint(**{key: batch[key] for key in ("query", "passage", "lm")})["loss"].backward()
    got = {
        part
        for part in ("retriever", "lm")
        if any(w.grad is not None and w.grad.abs().sum() > 0 for w in getattr(joint, part).parameters())
    }
    assert got == set(train)


def test_the_total_is_the_weighted_sum_of_the_terms(joint, batch):
    joint.enter(phase(["retriever", "lm"], revela=0.25, contrastive=2.0))
    found = joint(**batch)
    wanted = 0.25 * found["conditioned_loss"] + 2.0 * found["contrastive_loss"]
    assert found["loss"].item() == pytest.approx(wanted.item(), rel=1e-6)


def test_only_adapters_train_and_they_can_be_put_back(joint, batch):
    assert all("lora" in name for name in joint.trained_state())
    before = {name: weight.clone() for name, weight in joint.trained_state().items()}
    with torch.no_grad():
        for weight in joint.parameters():
            if weight.requires_grad:
                weight.add_(1.0)
    joint.load_trained_state(before)
    for name, weight in joint.trained_state().items():
        torch.testing.assert_close(weight, before[name])
    with pytest.raises(RevelaError, match="belongs to another model"):
        joint.load_trained_state({"another": torch.zeros(1)})


# --- records and checkpoints --------------------------------------------------------------------


def test_reopening_drops_the_steps_that_are_taken_again(tmp_path):
    path, heard = tmp_path / "curve.csv", []
    recorder = StepRecorder(path, 4, 0, sink=lambda figures, step: heard.append(step))
    for step in range(3):
        recorder.record(step, "p", {"loss": 1.0 + step, "tokens_per_second": 9.0})
    recorder.close()
    with path.open("a") as file:
        file.write("3,p,4.")  # a line that a kill cut short
    recorder = StepRecorder(path, 4, 2, sink=lambda figures, step: heard.append(step))
    recorder.record(2, "p", {"loss": 7.0})
    recorder.close()
    assert [(row["step"], row["loss"]) for row in read_rows(path)] == [("0", "1"), ("1", "2"), ("2", "7")]
    assert heard == [0, 1, 2, 2]
    write_reproducible(path, tmp_path / "copy.csv")
    assert "tokens_per_second" not in (tmp_path / "copy.csv").read_text()


def test_the_summary_averages_the_end_of_every_phase():
    rows = [{"step": str(i), "phase": "a" if i < 3 else "b", "loss": str(i)} for i in range(5)]
    assert summarise(rows, last=2) == {"a": {"steps": 3, "loss": 1.5}, "b": {"steps": 2, "loss": 3.5}}


def test_a_checkpoint_that_a_kill_cut_short_is_passed_over(tmp_path):
    assert checkpoints.last_checkpoint(tmp_path) is None
    for step in (9, 10, 11):
        (tmp_path / f"checkpoint-{step}").mkdir()
    (tmp_path / "checkpoint-9" / "trainer_state.json").touch()
    (tmp_path / "checkpoint-10" / "trainer_state.json").touch()
    assert checkpoints.last_checkpoint(tmp_path).name == "checkpoint-10"


def test_the_fingerprint_follows_settings_and_contents(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "f").write_text("1")
    mark = checkpoints.fingerprint({"lr": 1}, tmp_path / "a")
    assert mark == checkpoints.fingerprint({"lr": 1}, tmp_path / "a")
    assert mark != checkpoints.fingerprint({"lr": 2}, tmp_path / "a")
    (tmp_path / "a" / "__pycache__").mkdir()
    (tmp_path / "a" / "__pycache__" / "f.pyc").write_text("compiled at another time")
    assert mark == checkpoints.fingerprint({"lr": 1}, tmp_path / "a")
    (tmp_path / "a" / "f").write_text("2")
    assert mark != checkpoints.fingerprint({"lr": 1}, tmp_path / "a")


# --- arithmetic ---------------------------------------------------------------------------------


def test_flops_follow_the_formula():
    model = nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 8), nn.LayerNorm(8), nn.Linear(8, 2))
    assert matmul_weights(model) == 4 * 8 + 8 * 2
    assert step_flops(48, 10, backward=False, frozen_share=0.0) == 2 * 48 * 10
    assert step_flops(48, 10, backward=True, frozen_share=0.0) == 6 * 48 * 10
    assert step_flops(48, 10, backward=True, frozen_share=1.0) == 4 * 48 * 10


def test_precision_can_be_forced_and_is_never_guessed_wrong():
    cpu = torch.device("cpu")
    assert resolve_dtype("fp32", cpu) == torch.float32
    assert resolve_dtype("bf16", cpu) == torch.bfloat16
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    assert resolve_dtype("auto", cpu) == (torch.bfloat16 if native else torch.float32)


# --- adapters of one model alone ----------------------------------------------------------------


def test_a_model_without_adapters_trains_whole_and_the_other_by_its_adapters(backbone_folder, make_settings):
    by_model = {"retriever": {"rank": 2, "alpha": 4}, "lm": None}
    settings = make_settings({"lora": by_model, "gradient_checkpointing": True})
    joint = JointModel(backbone_folder, settings.training, settings.objective, torch.bfloat16)
    trained = joint.trained_state()
    of_retriever = {name for name in trained if name.startswith("retriever.")}
    assert of_retriever and all("lora" in name for name in of_retriever)
    assert {name for name in trained if name.startswith("lm.")} == {
        f"lm.{name}" for name, _ in joint.lm.named_parameters()
    }
    # Whatever trains is kept in float32; what is frozen under adapters in the precision computed in.
    assert {weight.dtype for weight in trained.values()} == {torch.float32}
    frozen = {weight.dtype for weight in joint.retriever.parameters() if not weight.requires_grad}
    assert frozen == {torch.bfloat16}


def test_both_give_gradients_to_all_that_they_train(backbone_folder, make_settings, batch):
    settings = make_settings({"lora": {"retriever": {"rank": 2}, "lm": None}})
    torch.manual_seed(0)
    joint = JointModel(backbone_folder, settings.training, settings.objective, torch.float32)
    joint.enter(BOTH)
    joint(**batch)["loss"].backward()
    for part in ("retriever", "lm"):
        assert all(weight.grad is not None for weight in joint.parameters_of(part))


def test_a_batch_tells_the_sizes_of_its_groups_and_the_lengths_of_its_rows(
    backbone_folder, groups_folder, tokenizer
):
    groups = Groups(groups_folder)
    batch = GroupCollator(Retriever(backbone_folder / "retriever"), tokenizer, 64, BOTH)(
        [whole(groups[0]), whole(groups[1])]
    )
    assert batch["sizes"] == [4, 4]
    assert batch["documents"] == [[chunk.document_id for chunk in groups[number]] for number in (0, 1)]
    for name in ("query", "passage", "rest", "lm"):
        assert len(batch[name]["input_ids"]) == 8
        assert batch[name]["lengths"] == batch[name]["attention_mask"].sum(dim=1).tolist()


def test_rows_of_parts_are_the_query_and_the_rest_of_each_chunk_in_turn(
    backbone_folder, groups_folder, tokenizer
):
    group = Groups(groups_folder)[0]
    parts = phase(["retriever", "lm"], revela=1.0, changes={"rows": "parts"})
    batch = GroupCollator(Retriever(backbone_folder / "retriever"), tokenizer, 64, parts)([whole(group)])
    assert set(batch) == {"query", "rest", "lm", "documents", "sizes", "figures"}
    found = [
        tokenizer.decode(ids[mask.bool()])
        for ids, mask in zip(batch["lm"]["input_ids"], batch["lm"]["attention_mask"], strict=True)
    ]
    wanted = [text for chunk in group for text in (chunk.query, chunk.text[chunk.query_end :])]
    assert found == wanted

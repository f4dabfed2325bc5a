"""What each model reads of a group's chunks."""

from __future__ import annotations

import inspect

import pytest
from collating import BOTH, phase, whole
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from revela.chunks.chunking import Chunker
from revela.chunks.tokenizer import check_room, load_tokenizer
from revela.corpus.schema import Document
from revela.errors import RevelaError
from revela.groups.reading import Groups
from revela.modeling.retriever import Retriever
from revela.training.collator import GroupCollator


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

"""Rows without padding: what is spread out comes back, and so do the gradients."""

from __future__ import annotations

import sys

import pytest
import torch
import transformers as hf
from families import GROUPED, LAYERS, MIXED, OLD_STYLE, WINDOW
from torch.autograd import gradcheck

from revela.modeling.rows import Rows, longest_unmasked

CPU = torch.device("cpu")
LENGTHS = [(3, 1, 4), (2, 2, 2), (1,), (5, 5, 1, 3)]


def padded_ids(rows: Rows) -> torch.Tensor:
    """(R, L) token ids 1, 2, ... in reading order, 0 at padding."""
    ids = torch.zeros(rows.count, rows.length, dtype=torch.long)
    token = 0
    for row, length in enumerate(rows.lengths):
        for place in range(length):
            token += 1
            ids[row, place] = token
    return ids


def test_an_example_that_can_be_checked_by_eye():
    rows = Rows.of([2, 3], CPU)
    assert (rows.count, rows.length, rows.tokens) == (2, 3, 5)
    assert rows.places.tolist() == [0, 1, 3, 4, 5]
    assert rows.position_ids.tolist() == [[0, 1, 0, 1, 2]]
    assert rows.mask.tolist() == [[True, True, False], [True, True, True]]
    inputs = rows.inputs(torch.tensor([[7, 8, 0], [4, 5, 6]]))
    assert inputs["input_ids"].tolist() == [[7, 8, 4, 5, 6]]
    assert inputs["position_ids"].tolist() == [[0, 1, 0, 1, 2]]
    assert inputs["attention_mask"].ndim == 4, "models hand it through to the attention"


def test_rows_of_one_length_are_left_as_they_are():
    rows = Rows.of([2, 2], CPU)
    assert rows.mask is None
    ids = torch.tensor([[1, 2], [3, 4]])
    assert rows.inputs(ids)["input_ids"].equal(ids)
    assert rows.inputs(ids)["position_ids"].tolist() == [[0, 1]]
    heads = torch.randn(2, 3, 2, 4)
    assert rows.spread(heads) is heads and rows.pack(heads) is heads and rows.unpack(heads) is heads


@pytest.mark.parametrize("extra", [0, 2])
@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
def test_every_token_stands_at_its_place(lengths, extra):
    rows = Rows.of(lengths, CPU, max(lengths) + extra)
    ids = padded_ids(rows)
    mask = torch.ones_like(ids, dtype=torch.bool) if rows.mask is None else rows.mask
    assert mask.equal(ids > 0)
    packed = rows.inputs(ids)["input_ids"]
    assert packed.flatten().tolist() == list(range(1, sum(lengths) + 1))
    assert rows.tokens == sum(lengths)
    positions = rows.inputs(ids)["position_ids"].expand(packed.shape)
    assert positions.flatten().tolist() == [place for length in lengths for place in range(length)]


def values(rows: Rows, *shape: int) -> torch.Tensor:
    """As a model's tensors are: (1, T, ...), or (R, L, ...) where nothing is padded."""
    leading = (rows.count, rows.length) if rows.mask is None else (1, rows.tokens)
    return torch.randn(*leading, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
def test_what_is_spread_out_and_packed_is_what_it_was(lengths):
    rows = Rows.of(lengths, CPU)
    heads, hidden = values(rows, 2, 3), values(rows, 3)
    spread = rows.spread(heads.transpose(1, 2))
    assert spread.shape == (rows.count, 2, rows.length, 3)
    assert rows.pack(spread.transpose(1, 2)).equal(heads)
    unpacked = rows.unpack(hidden)
    assert unpacked.shape == (rows.count, rows.length, 3)
    assert rows.pack(unpacked).equal(hidden)
    if rows.mask is not None:
        assert unpacked[rows.mask].equal(hidden[0])
        assert spread.transpose(1, 2)[rows.mask].equal(heads[0])


@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
def test_gradients_of_what_stands_at_tokens(lengths):
    rows = Rows.of(lengths, CPU)
    mask = torch.ones(rows.count, rows.length, dtype=torch.bool) if rows.mask is None else rows.mask
    heads = values(rows, 2, 3).transpose(1, 2).requires_grad_()
    hidden = values(rows, 3).requires_grad_()
    padded = torch.randn(rows.count, rows.length, 2, 3, dtype=torch.float64).requires_grad_()
    assert gradcheck(lambda x: rows.spread(x).transpose(1, 2)[mask], heads)
    assert gradcheck(lambda x: rows.unpack(x)[mask], hidden)
    assert gradcheck(rows.pack, padded)


def test_what_stands_at_padding_gives_no_gradient():
    rows = Rows.of([1, 3], CPU)
    hidden = values(rows, 2).requires_grad_()
    rows.unpack(hidden)[~rows.mask].sum().backward()
    assert hidden.grad.eq(0).all()
    padded = torch.randn(2, 3, 2, requires_grad=True)
    rows.pack(padded).sum().backward()
    assert padded.grad[rows.mask].eq(1).all() and padded.grad[~rows.mask].eq(0).all()


@pytest.mark.parametrize(
    ("config", "wanted"),
    [
        (hf.LlamaConfig(**GROUPED), sys.maxsize),
        (hf.GPT2Config(**OLD_STYLE), sys.maxsize),
        (hf.BertConfig(hidden_size=32, num_attention_heads=4), sys.maxsize),
        (hf.MistralConfig(**GROUPED, **WINDOW), 4),
        (hf.MistralConfig(**GROUPED, sliding_window=None), sys.maxsize),
        (hf.MinistralConfig(**GROUPED, **MIXED), 4),
        (hf.Llama4TextConfig(**GROUPED, attention_chunk_size=6), 6),
        # Half of ModernBERT's window lies on either side.
        (hf.ModernBertConfig(hidden_size=32, num_attention_heads=4, local_attention=128), 64),
        (hf.ModernBertDecoderConfig(**LAYERS, local_attention=8), 4),
        # A layer that is no attention carries state from row to row.
        (hf.Lfm2Config(**GROUPED, layer_types=["conv", "full_attention"]), 0),
    ],
    ids=lambda value: getattr(value, "model_type", None),
)  # fmt: skip
def test_rows_may_be_as_long_as_the_narrowest_layer_reads(config, wanted):
    assert longest_unmasked(config) == wanted

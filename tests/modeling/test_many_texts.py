"""Many texts at once: little padding, several threads, the order given."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch

from revela.modeling import many_texts
from revela.modeling.many_texts import encode_many

CPU = torch.device("cpu")
TEXTS = ["a" * length for length in (3, 9, 1, 5, 9, 2, 7)]


def preprocess(texts: list[str]) -> dict:
    """A token a letter, padded on the left, to find that columns of others are not what is cut off."""
    longest = max(map(len, texts))
    mask = torch.tensor([[0] * (longest - len(text)) + [1] * len(text) for text in texts])
    return {"input_ids": mask * 7, "attention_mask": mask, "prompt_length": 1}


def forward(features: dict) -> list[torch.Tensor]:
    assert features["prompt_length"] == 1
    sums = features["input_ids"].sum(dim=1, keepdim=True)
    return [sums, torch.cat([sums, -sums], dim=1).double()]


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("tokens", [1, 12, 1280])
def test_vectors_are_in_the_order_of_the_texts(
    workers: int, tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(many_texts, "cores", lambda: workers)
    monkeypatch.setattr(many_texts, "CPU_TOKENS", tokens)
    one, two = encode_many(TEXTS, preprocess, forward, device=CPU, batch_size=4, description="texts")
    wanted = [7.0 * len(text) for text in TEXTS]
    assert one.tolist() == [[value] for value in wanted]
    assert two.tolist() == [[value, -value] for value in wanted]
    assert one.dtype == two.dtype == torch.float32


def test_a_forward_on_a_cpu_has_few_tokens_and_no_column_of_padding_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(many_texts, "CPU_TOKENS", 20)
    shapes = []

    def watched(features: dict) -> list[torch.Tensor]:
        shapes.append(tuple(features["input_ids"].shape))
        return forward(features)

    encode_many(TEXTS, preprocess, watched, device=CPU, batch_size=5, description="texts")
    assert sorted(shapes, reverse=True) == [(2, 9), (2, 7), (2, 2), (1, 3)]


def test_features_that_are_not_a_row_a_text_stay_together() -> None:
    def flat(texts: list[str]) -> dict:
        return {"input_ids": torch.ones(1, sum(map(len, texts))), "lengths": [len(text) for text in texts]}

    def sums(features: dict) -> list[torch.Tensor]:
        return [torch.tensor([[float(length)] for length in features["lengths"]])]

    (found,) = encode_many(TEXTS, flat, sums, device=CPU, batch_size=3, description="texts")
    assert found.flatten().tolist() == [len(text) for text in TEXTS]


@pytest.fixture
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_threads_are_as_many_as_before_and_gradients_are_off_in_each(
    monkeypatch: pytest.MonkeyPatch, three_threads: None
) -> None:
    monkeypatch.setattr(many_texts, "cores", lambda: 2)
    seen = set()

    def watched(features: dict) -> list[torch.Tensor]:
        seen.add((threading.current_thread() is threading.main_thread(), torch.is_grad_enabled()))
        assert torch.get_num_threads() == 1
        return forward(features)

    encode_many(TEXTS, preprocess, watched, device=CPU, batch_size=2, description="texts")
    assert seen == {(False, False)}
    assert torch.get_num_threads() == 3

    def broken(features: dict) -> list[torch.Tensor]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        encode_many(TEXTS, preprocess, broken, device=CPU, batch_size=2, description="texts")
    assert torch.get_num_threads() == 3

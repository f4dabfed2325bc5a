"""The fast path equals the method written out plainly, for both forms of attention."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model
from reference import reference_loss
from transformers import LlamaConfig, Qwen2Config

from revela.modeling import conditioned_loss, load_lm
from revela.modeling.versions import checkpoint_activations

LENGTHS = (11, 7, 11, 4, 9, 2)


def group(vocabulary: int = 61, seed: int = 0):
    """A right-padded group with similarities whose rows are neither one-hot nor flat."""
    generator = torch.Generator().manual_seed(seed)
    size, length = len(LENGTHS), max(LENGTHS)
    ids = torch.randint(3, vocabulary, (size, length), generator=generator)
    mask = (torch.arange(length)[None] < torch.tensor(LENGTHS)[:, None]).long()
    similarities = torch.rand(size, size, generator=generator) * 2 - 1
    return ids * mask, mask, ids.masked_fill(mask == 0, -100), similarities


def tiny(config_class=LlamaConfig, **changes):
    torch.manual_seed(1)
    sizes = {
        "vocab_size": 61, "hidden_size": 48, "intermediate_size": 32, "num_hidden_layers": 3,
        "num_attention_heads": 6, "num_key_value_heads": 2, "initializer_range": 0.3, "pad_token_id": 0,
    }  # fmt: skip
    return load_lm(config_class(**{**sizes, **changes}))


SETTINGS = [
    {"attention": "paper"},
    {"attention": "paper", "v_norm": False},
    {"attention": "paper", "top_k": 2},
    {"attention": "joint"},
    {"attention": "joint", "top_k": 2},
    {"attention": "joint", "top_k": 1},
]


@pytest.mark.parametrize("temperature", [1.0, 0.1], ids=lambda t: f"tau{t}")
@pytest.mark.parametrize("setting", SETTINGS, ids=lambda s: "-".join(map(str, s.values())))
@pytest.mark.parametrize("config_class", [LlamaConfig, Qwen2Config], ids=["llama", "qwen2"])
def test_equals_the_written_out_reference(config_class, setting, temperature):
    lm = tiny(config_class)
    ids, mask, labels, similarities = group()
    ours_s, plain_s = similarities.clone().requires_grad_(), similarities.clone().requires_grad_()

    ours = conditioned_loss(
        lm, ids, mask, labels, ours_s, temperature=temperature, return_logits=True, **setting
    )
    ours.loss.backward()
    ours_gradients = {name: weight.grad.clone() for name, weight in lm.named_parameters()}
    lm.zero_grad()
    loss, logits = reference_loss(lm, ids, mask, labels, plain_s, temperature=temperature, **setting)
    loss.backward()

    assert ours.loss.item() == pytest.approx(loss.item(), abs=1e-5)
    torch.testing.assert_close(ours.logits[mask.bool()], logits[mask.bool()], rtol=1e-4, atol=1e-4)
    scale = plain_s.grad.abs().max()
    torch.testing.assert_close(ours_s.grad / scale, plain_s.grad / scale, rtol=0, atol=1e-4)
    for name, weight in lm.named_parameters():
        scale = weight.grad.abs().max().clamp_min(1e-8)
        torch.testing.assert_close(ours_gradients[name] / scale, weight.grad / scale, rtol=0, atol=1e-4)


@pytest.mark.parametrize("attention", ["paper", "joint"])
def test_gradient_checkpointing_changes_nothing(attention):
    lm = tiny()
    ids, mask, labels, similarities = group()
    results = []
    for checkpointed in (False, True):
        if checkpointed:
            checkpoint_activations(lm)
        lm.train().zero_grad()
        similarities = similarities.detach().clone().requires_grad_()
        output = conditioned_loss(lm, ids, mask, labels, similarities, temperature=0.1, attention=attention)
        output.loss.backward()
        results.append(
            (output.loss.item(), similarities.grad, lm.model.layers[0].self_attn.k_proj.weight.grad.clone())
        )
    (loss_a, s_a, k_a), (loss_b, s_b, k_b) = results
    assert loss_a == loss_b
    torch.testing.assert_close(s_a, s_b)
    torch.testing.assert_close(k_a, k_b)


@pytest.mark.parametrize("attention", ["paper", "joint"])
def test_pairs_below_min_weight_are_skipped_without_a_trace(attention):
    lm = tiny()
    ids, mask, labels, similarities = group()
    found = []
    for min_weight in (0.0, 1e-6):
        similarities = similarities.detach().clone().requires_grad_()
        output = conditioned_loss(
            lm, ids, mask, labels, similarities, temperature=0.01, attention=attention, min_weight=min_weight
        )
        output.loss.backward()
        found.append((output.loss.item(), similarities.grad))
    assert found[0][0] == pytest.approx(found[1][0], rel=2e-6)
    torch.testing.assert_close(
        found[0][1], found[1][1], rtol=1e-4, atol=1e-5 * found[0][1].abs().max().item()
    )


@pytest.mark.parametrize("attention", ["paper", "joint"])
def test_bfloat16_stays_close_to_float32(attention):
    lm = tiny()
    ids, mask, labels, similarities = group()
    exact = conditioned_loss(lm, ids, mask, labels, similarities, temperature=0.1, attention=attention)
    lm.to(torch.bfloat16)
    rounded = conditioned_loss(lm, ids, mask, labels, similarities, temperature=0.1, attention=attention)
    assert rounded.loss.dtype == torch.float32
    assert rounded.loss.item() == pytest.approx(exact.loss.item(), rel=0.02)


def test_similarities_in_half_precision_are_widened_before_the_softmax():
    similarities = torch.tensor([[0.0, 0.5, 0.501], [0.1, 0.0, 0.2], [0.3, 0.1, 0.0]], dtype=torch.bfloat16)
    output = conditioned_loss(tiny(), *(x[:3] for x in group()[:3]), similarities, temperature=1e-4)
    assert output.weights.dtype == torch.float32
    torch.testing.assert_close(output.weights.sum(dim=1), torch.ones(3))


def test_a_group_of_two_is_the_smallest_and_reads_the_only_other_chunk():
    ids, mask, labels, similarities = (x[:2] for x in group())
    output = conditioned_loss(tiny(), ids, mask, labels, similarities[:, :2], temperature=1e-4)
    torch.testing.assert_close(output.weights, torch.tensor([[0.0, 1.0], [1.0, 0.0]]))


def test_a_model_from_elsewhere_is_refused_instead_of_ignoring_the_group():
    lm = tiny()
    lm.config._attn_implementation = "sdpa"
    ids, mask, labels, similarities = group()
    with pytest.raises(ValueError, match=r"load it with revela\.modeling\.load_lm"):
        conditioned_loss(lm, ids, mask, labels, similarities, temperature=1.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"similarities": torch.zeros(2, 2)}, r"similarities must be \(6, 6\)"),
        ({"labels": torch.zeros(6, 3, dtype=torch.long)}, r"must all be \(B, L\)"),
        ({"labels": torch.full((6, 11), -100)}, "no target"),
        ({"temperature": 0.0}, "temperature must be > 0"),
        ({"attention": "both"}, "'paper' or 'joint'"),
        ({"top_k": 0}, "top_k must be at least 1"),
    ],
)
def test_wrong_arguments_are_named(change, message):
    ids, mask, labels, similarities = group()
    arguments = {"labels": labels, "similarities": similarities, "temperature": 1.0, **change}
    with pytest.raises(ValueError, match=message):
        conditioned_loss(tiny(), ids, mask, **arguments)


@pytest.mark.parametrize("attention", ["paper", "joint"])
@pytest.mark.parametrize("frozen", [False, True])
def test_where_no_weight_reaches_the_threshold_the_loss_is_the_plain_one_and_still_has_a_gradient(
    attention, frozen
):
    lm = tiny().requires_grad_(not frozen)
    ids, mask, labels, similarities = group()
    similarities.requires_grad_()
    output = conditioned_loss(
        lm, ids, mask, labels, similarities, temperature=100.0, attention=attention, min_weight=0.9,
        return_plain_loss=True,
    )  # fmt: skip
    output.loss.backward()
    assert not output.pairs.any() and output.skipped_weight.item() == pytest.approx(1.0)
    assert output.loss.item() == pytest.approx(output.plain_loss.item(), abs=1e-6)
    assert similarities.grad.abs().max() == 0
    halved = conditioned_loss(
        lm.to(torch.bfloat16), ids, mask, labels, similarities, temperature=100.0, min_weight=0.9
    )
    assert halved.loss.item() == pytest.approx(output.loss.item(), rel=0.02)


@pytest.mark.parametrize("attention", ["paper", "joint"])
def test_a_row_that_reads_nothing_leaves_the_others_as_they_are(attention):
    lm = tiny()
    ids, mask, labels, similarities = group()
    similarities[0] = 0.0  # even weights, all below the threshold; the other rows are peaked
    similarities[1:, 0] = 3.0
    output = conditioned_loss(
        lm, ids, mask, labels, similarities, temperature=0.3, attention=attention, min_weight=0.5,
        return_logits=True,
    )  # fmt: skip
    alone = conditioned_loss(
        lm, ids, mask, labels, similarities, temperature=100.0, min_weight=0.9, return_logits=True
    )
    assert output.pairs.sum(dim=1).tolist() == [0, 1, 1, 1, 1, 1]
    torch.testing.assert_close(output.logits[0], alone.logits[0], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(output.logits[1, :7], alone.logits[1, :7], atol=1e-2)


@pytest.mark.parametrize("attention", ["paper", "joint"])
def test_under_autocast_with_float32_weights_the_prior_keeps_its_precision(attention):
    lm = tiny()
    ids, mask, labels, similarities = group()
    exact, rounded = (similarities.clone().requires_grad_() for _ in range(2))
    settings = {"temperature": 0.1, "attention": attention, "top_k": 2}
    wanted = conditioned_loss(lm, ids, mask, labels, exact, **settings).loss
    with torch.autocast("cpu", torch.bfloat16):
        found = conditioned_loss(lm, ids, mask, labels, rounded, **settings).loss
    assert found.item() == pytest.approx(wanted.item(), rel=0.02)
    wanted.backward()
    found.backward()
    cosine = torch.nn.functional.cosine_similarity(exact.grad.flatten(), rounded.grad.flatten(), dim=0)
    assert cosine > 0.98


def test_adapters_on_the_head_count():
    lm = tiny()
    ids, mask, labels, similarities = group()
    adapted = get_peft_model(lm, LoraConfig(r=2, target_modules=["lm_head"], init_lora_weights=False))
    conditioned_loss(
        adapted.get_base_model(), ids, mask, labels, similarities, temperature=1.0
    ).loss.backward()
    assert all(weight.grad.abs().max() > 0 for name, weight in adapted.named_parameters() if "lora" in name)


def test_a_chunk_of_nothing_but_padding_is_refused():
    ids, mask, labels, similarities = group()
    mask[2] = 0
    with pytest.raises(ValueError, match="every chunk needs at least one token"):
        conditioned_loss(tiny(), ids, mask, labels, similarities, temperature=1.0)

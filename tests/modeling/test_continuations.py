"""Scores of continuations after other chunks, against a loop that writes every pair out."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen3Config

from revela.modeling import load_lm
from revela.modeling.continuations import continuation_log_likelihoods

SMALL = {"vocab_size": 61, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}


def group() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Four chunks of different lengths; the last has no second part."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(3, 61, (4, 9), generator=generator)
    lengths = torch.tensor([9, 5, 7, 3])
    mask = (torch.arange(9) < lengths[:, None]).long()
    starts = torch.tensor([3, 2, 1, 9])
    labels = ids.masked_fill((mask == 0) | (torch.arange(9) < starts[:, None]), -100)
    return ids, mask, labels


def written_out(lm, ids, mask, labels) -> torch.Tensor:
    """Every pair by itself, chunk j and then chunk i as one text."""
    scores = torch.zeros(len(ids), len(ids))
    for i in range(len(ids)):
        for j in range(len(ids)):
            before, after = ids[j][mask[j].bool()], ids[i][mask[i].bool()]
            logs = lm(torch.cat([before, after])[None]).logits[0].log_softmax(dim=-1)
            wanted = [t for t in range(1, len(after)) if labels[i, t] != -100]
            if wanted:
                found = [logs[len(before) + t - 1, after[t]] for t in wanted]
                scores[i, j] = torch.stack(found).mean()
    return scores


@pytest.mark.parametrize(
    "config",
    [
        LlamaConfig(**SMALL, num_attention_heads=4, num_key_value_heads=2),
        Qwen3Config(
            **SMALL, num_attention_heads=4, num_key_value_heads=2, head_dim=8,
            use_sliding_window=True, sliding_window=4, max_window_layers=1,
        ),
    ],
    ids=["llama", "qwen3 with a sliding window"],
)  # fmt: skip
def test_shared_prefixes_give_what_every_pair_by_itself_gives(config):
    torch.manual_seed(0)
    lm = load_lm(config).train()
    plain = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    plain.load_state_dict(lm.state_dict())
    found = continuation_log_likelihoods(lm, *group())
    with torch.no_grad():
        torch.testing.assert_close(found, written_out(plain, *group()), atol=1e-5, rtol=0)
    assert lm.training
    assert found[3].eq(0).all() and found[:3].lt(0).all()


def test_padding_on_the_left_is_refused():
    lm = load_lm(LlamaConfig(**SMALL, num_attention_heads=4))
    ids, mask, labels = group()
    with pytest.raises(ValueError, match="padded on the right"):
        continuation_log_likelihoods(lm, ids, mask.flip(1), labels)

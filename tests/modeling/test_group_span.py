"""Groups over two processes equal the same groups in one: figures, and every gradient."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig

from revela.modeling import load_lm
from revela.objectives import ContrastiveObjective, RevelaObjective
from revela.settings import ObjectiveSettings

CHUNKS = 3
# The second process's chunks are shorter: both must agree on one length. Then those of a second group.
LENGTHS = (11, 7, 9, 8, 4, 6)
MORE_LENGTHS = (5, 3, 11, 2, 7, 1)

CASES = {
    "paper_dense": {"objective": {"attention": "paper", "temperature": 0.3, "min_weight": 0.0}},
    "paper_sparse": {"objective": {"attention": "paper", "temperature": 0.02, "min_weight": 1e-3}},
    "joint": {"objective": {"attention": "joint", "temperature": 0.2, "top_k": 2}},
    "gain": {"objective": {"attention": "joint", "temperature": 0.2, "top_k": 2}, "gain": True},
    "checkpointed": {"objective": {"attention": "paper", "temperature": 0.3}, "checkpointing": True},
    "frozen": {"objective": {"attention": "joint", "temperature": 0.2}, "frozen": True},
    # No weight reaches the threshold: nobody reads, and yet both processes must come to an end.
    # One process reads and the other does not.
    "one_reads": {"objective": {"attention": "paper", "temperature": 0.3, "min_weight": 0.5}, "flat": True},
    "one_reads_frozen": {
        "objective": {"attention": "paper", "temperature": 0.3, "min_weight": 0.5},
        "flat": True,
        "frozen": True,
    },
    "nothing_read": {"objective": {"attention": "paper", "temperature": 100.0, "min_weight": 0.9}},
    "two_groups_paper": {
        "objective": {"attention": "paper", "temperature": 0.1, "min_weight": 0.05}, "groups": 2,
    },
    "two_groups_joint": {
        "objective": {"attention": "joint", "temperature": 0.2, "top_k": 2, "symmetric": True,
                      "contrastive_symmetric": True},
        "groups": 2, "lengths": True,
    },
    "two_groups_gain": {
        "objective": {"attention": "joint", "temperature": 0.2, "dual_loss": True}, "groups": 2, "gain": True,
    },
    "two_groups_frozen": {
        "objective": {"attention": "paper", "temperature": 0.3}, "groups": 2, "frozen": True, "lengths": True,
    },
    "two_groups_one_reads": {
        "objective": {"attention": "paper", "temperature": 0.3, "min_weight": 0.5}, "groups": 2, "flat": True,
    },
}  # fmt: skip


def make_case(
    objective: dict, gain: bool = False, checkpointing: bool = False, frozen: bool = False,
    flat: bool = False, groups: int = 1, lengths: bool = False,
) -> dict:  # fmt: skip
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=61, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, initializer_range=0.3, pad_token_id=0,
    )  # fmt: skip
    lm = load_lm(config)
    tokens = (LENGTHS + MORE_LENGTHS)[: groups * len(LENGTHS)]
    size, length = len(tokens), max(tokens)
    ids = torch.randint(3, 61, (size, length))
    mask = (torch.arange(length)[None] < torch.tensor(tokens)[:, None]).long()
    queries, passages = torch.nn.functional.normalize(torch.randn(2, size, 8), dim=-1)
    if flat:
        queries[:CHUNKS] = 0.0
        queries[CHUNKS : 2 * CHUNKS] = passages[[0, 1, 2]]
    return {
        "config": config, "weights": lm.state_dict(), "chunks": CHUNKS, "ids": ids * mask, "mask": mask,
        "labels": ids.masked_fill(mask == 0, -100), "queries": queries, "passages": passages,
        "objective": ObjectiveSettings(**objective), "gain": gain, "checkpointing": checkpointing,
        "frozen": frozen, "groups": groups, "lengths": lengths,
    }  # fmt: skip


@pytest.fixture(scope="module")
def together(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("span")
    torch.save({name: make_case(**case) for name, case in CASES.items()}, folder / "cases.pt")
    script = Path(__file__).with_name("span_of_two.py")
    subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
         str(script), str(folder)],
        env=os.environ | {"OMP_NUM_THREADS": "1"}, check=True, timeout=200,
    )  # fmt: skip
    return folder


@pytest.mark.parametrize("name", CASES)
def test_two_processes_give_the_figures_and_gradients_of_one(together, name):
    case = make_case(**CASES[name])
    halves = [torch.load(together / f"{name}.{rank}.pt", weights_only=False) for rank in range(2)]
    lm = load_lm(case["config"])
    lm.load_state_dict(case["weights"])
    lm.requires_grad_(not case["frozen"])
    queries, passages = case["queries"].requires_grad_(), case["passages"].requires_grad_()
    groups = case["groups"]
    revela = RevelaObjective(case["objective"])(
        lm, case["ids"], case["mask"], case["labels"], queries, passages, measure_gain=case["gain"],
        groups=groups,
    )  # fmt: skip
    both = (rows.unflatten(0, (groups, -1)) for rows in (queries, passages))
    contrastive = ContrastiveObjective(symmetric=case["objective"].contrastive_symmetric)(*both)
    (revela["loss"] + contrastive["loss"]).backward()

    for key, value in {**contrastive, **revela}.items():
        if key not in ("loss", "chunks_read"):
            mean = sum(half["figures"][key] for half in halves) / 2
            torch.testing.assert_close(mean, value.detach(), rtol=1e-5, atol=1e-5, msg=key)
    read = sum(half["figures"]["chunks_read"] for half in halves)
    assert read == revela["chunks_read"]
    # A process's own gradient is of the sum over processes: DDP's average makes it the mean.
    for key, wanted in (("queries", queries.grad), ("passages", passages.grad)):
        by_group = [half[key].unflatten(0, (groups, -1)) for half in halves]
        found = torch.cat(by_group, dim=1).flatten(0, 1) / 2
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6 * float(wanted.abs().max()) + 1e-7)
    for key, weight in lm.named_parameters():
        if case["frozen"]:
            assert halves[0]["lm"][key] is None
            continue
        scale = float(weight.grad.abs().max()) + 1e-8
        torch.testing.assert_close(halves[0]["lm"][key] / scale, weight.grad / scale, rtol=0, atol=1e-5)


def test_a_process_reads_the_other_ones_chunks(together):
    case = make_case(**CASES["joint"])
    cosines = case["queries"] @ case["passages"].T
    nearest = cosines.fill_diagonal_(-2).topk(2, dim=1).indices
    home = torch.arange(6)[:, None] // CHUNKS
    assert (nearest // CHUNKS != home).any(), "the case has no pair across processes and tests nothing"

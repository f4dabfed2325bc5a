"""What each of two processes computes for `test_group_span`: its half of each group, its share of the loss.

Usage: torchrun ... span_of_two.py FOLDER. Reads cases.pt there, leaves `<case>.<rank>.pt`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import torch.distributed as dist

from revela.modeling import load_lm
from revela.modeling.group_span import GroupSpan
from revela.modeling.versions import checkpoint_activations
from revela.objectives import ContrastiveObjective, RevelaObjective

folder = Path(sys.argv[1])
dist.init_process_group("gloo")
span = GroupSpan()
for name, case in torch.load(folder / "cases.pt", weights_only=False).items():
    lm = load_lm(case["config"])
    lm.load_state_dict(case["weights"])
    if case["checkpointing"]:
        checkpoint_activations(lm.train())
    lm.requires_grad_(not case["frozen"])
    half = slice(span.rank * case["chunks"], (span.rank + 1) * case["chunks"])
    # This process's rows of every group, group after group.
    own = {
        key: case[key].unflatten(0, (case["groups"], -1))[:, half].flatten(0, 1)
        for key in ("ids", "mask", "labels", "queries", "passages")
    }
    ids, mask, labels = (own[key] for key in ("ids", "mask", "labels"))
    used = mask.any(dim=0)  # each process cuts off its own padding
    queries, passages = (own[key].clone().requires_grad_() for key in ("queries", "passages"))
    revela = RevelaObjective(case["objective"])(
        lm,
        ids[:, used],
        mask[:, used],
        labels[:, used],
        queries,
        passages,
        measure_gain=case["gain"],
        span=span,
        groups=case["groups"],
        lengths=mask.sum(dim=1).tolist() if case["lengths"] else None,
    )
    both = (rows.unflatten(0, (case["groups"], -1)) for rows in (queries, passages))
    contrastive = ContrastiveObjective(symmetric=case["objective"].contrastive_symmetric)(*both, span)
    (revela["loss"] + contrastive["loss"]).backward()
    gradients = {key: weight.grad for key, weight in lm.named_parameters()}
    for gradient in gradients.values():
        if gradient is not None:
            dist.all_reduce(gradient)
            gradient /= span.size  # what DDP does
    figures = {key: value.detach() for key, value in {**contrastive, **revela}.items() if key != "loss"}
    torch.save(
        {"figures": figures, "queries": queries.grad, "passages": passages.grad, "lm": gradients},
        folder / f"{name}.{span.rank}.pt",
    )
dist.barrier()
dist.destroy_process_group()

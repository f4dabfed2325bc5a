"""A step whose chunks are all contrasted with one another, whatever the memory holds at once.

All texts of the step are embedded first; the language model then goes through its groups a few at a time,
each time with a backward pass that ends at the embeddings, whose gradient is added up there; last it passes
through the retriever (GradCache, Gao et al. 2021, arXiv 2101.06983). With `retriever_mini_batch` the
retriever's activations are those of a mini-batch, too.

Since the terms' gradients meet at the embeddings, that is where they can be weighed against each other by
their length, which differs from step to step: added as they are, one drowns the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from revela.training.model import JointModel

_EMBEDDED = ("query", "passage", "view", "rest")

Rows = TypeVar("Rows", Tensor, list)


def run_whole_step(
    model: JointModel,
    inputs: Mapping[str, Any],
    groups_at_once: int,
    backward: Callable[[Tensor], None],
    *,
    weigh_gradients: bool = False,
    **options: Any,
) -> list[dict[str, Tensor]]:
    """Forward and backward of a step; gradients are left where a backward pass leaves them.

    Several processes contrast the chunks of all, and hold the mean of their gradients at the end.

    Args:
        inputs: all the step's groups of this process, as the collator made them.
        groups_at_once: that go through the language model together.
        backward: takes a loss and runs its backward pass.
        weigh_gradients: the language model's gradient at the embeddings is made as long as the contrastive
            one, times the ratio of the two terms' weights. Its own weights learn as ever.
        **options: of :meth:`JointModel.predict`.

    Returns:
        The figures of the term contrastive, then those of each piece of groups. Where gradients are weighed,
        with the first ``gradient_contrastive`` and ``gradient_revela``: the lengths before, each of its loss
        times the term's weight.
    """
    embedded = model.embed({name: inputs.get(name) for name in _EMBEDDED})
    leaves = {name: rows.detach().requires_grad_(rows.requires_grad) for name, rows in embedded.items()}
    contrasted = model.contrast(leaves, None)
    _backward_if_any(contrasted["loss"], backward)
    first_gradients = _take_gradients(leaves) if weigh_gradients else {}
    figures, groups = [contrasted], len(inputs["sizes"])
    for first in range(0, groups, groups_at_once):
        count = min(groups_at_once, groups - first)
        given = inputs.get("given")
        predicted = model.predict(
            {name: _part(rows, groups, first, count) for name, rows in leaves.items()},
            {key: _part(rows, groups, first, count) for key, rows in inputs.get("lm", {}).items()},
            given=None if given is None else given[first : first + count],
            groups=count,
            **options,
        )
        if predicted:
            _backward_if_any(predicted["loss"] * (count / groups), backward)
            figures.append(predicted)
    if weigh_gradients:
        ratio = model.terms["revela"] / model.terms["contrastive"]
        contrasted |= _add_weighed(leaves, first_gradients, ratio)
    trained = [name for name, rows in embedded.items() if rows.requires_grad]
    if trained:
        torch.autograd.backward([embedded[name] for name in trained], [leaves[name].grad for name in trained])
    _average_gradients(model)
    return figures


def _take_gradients(leaves: Mapping[str, Tensor]) -> dict[str, Tensor]:
    taken = {name: rows.grad for name, rows in leaves.items() if rows.grad is not None}
    for rows in leaves.values():
        rows.grad = None
    return taken


def _add_weighed(
    leaves: Mapping[str, Tensor], contrastive: Mapping[str, Tensor], ratio: float
) -> dict[str, Tensor]:
    """Leave the sum of both gradients, the one that is there `ratio` times as long as the other."""
    revela = _take_gradients(leaves)
    device = next(iter(leaves.values())).device
    squares = torch.stack([_square(contrastive, device), _square(revela, device)])
    if dist.is_initialized():
        # All processes weigh alike. Each one's gradient is of its own mean, and theirs are averaged later.
        dist.all_reduce(squares)
        squares /= dist.get_world_size() ** 2
    own, other = squares.sqrt()
    # A step whose language model reads nothing leaves nothing to stretch.
    factor = torch.where(other > 0, ratio * own / other, 0.0)
    for name, rows in leaves.items():
        rows.grad = contrastive.get(name)
        if name in revela:
            stretched = factor * revela[name]
            rows.grad = stretched if rows.grad is None else rows.grad + stretched
    return {"gradient_contrastive": own, "gradient_revela": other}


def _square(gradients: Mapping[str, Tensor], device: torch.device) -> Tensor:
    """() the squared length of all of them together, in float32."""
    nothing = torch.zeros((), device=device)
    return sum((gradient.float().square().sum() for gradient in gradients.values()), start=nothing)


def _part(rows: Rows, groups: int, first: int, count: int) -> Rows:
    """What belongs to `count` of the groups."""
    each = len(rows) // groups
    return rows[first * each : (first + count) * each]


def _backward_if_any(loss: Tensor, backward: Callable[[Tensor], None]) -> None:
    # Where neither the retriever nor the language model trains by it, a term is only watched.
    if loss.requires_grad:
        backward(loss)


def _average_gradients(model: JointModel) -> None:
    """What DDP does; it cannot know that several backward passes belong to one step."""
    if not dist.is_initialized():
        return
    for weight in model.parameters():
        if weight.requires_grad:
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
            dist.all_reduce(weight.grad)
            weight.grad /= dist.get_world_size()

"""What nobody reads is not computed: the plain rows stop at the last layer's keys and values.

The conditioned rows read the plain rows' keys and values of every layer. After those of the last
layer nothing of the plain rows is used any more (unless their own loss is asked for), yet the model
would go on to compute their output projection and feed-forward network. The modules of the last
layer that run after its attention are therefore given the conditioned rows only, by hooks, and
zeros stand in for the rest. It is worth about 1 / (2 layers) of the body's time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

_ATTRIBUTE = "_revela_unread"


@dataclass
class UnreadRows:
    """Which rows the hooks leave out.

    The attention function sets it in every forward, right before the hooked modules run, also when
    gradient checkpointing runs the layer again; so it needs no resetting.

    Attributes:
        leading: how many leading rows (or tokens) are left out, 0 for none.
        total: how many there are. A module called with another number of them (tokens of all rows in one
            dimension, say) is left alone.
        dim: along which dimension: 0 where rows are padded, 1 where they lie one after the other.
        shortened: a hooked module is running without the leading rows.
    """

    leading: int = 0
    total: int = 0
    dim: int = 0
    shortened: bool = False

    def leave_out(self, leading: int, total: int, dim: int = 0) -> None:
        """What holds for the modules that run from now on."""
        self.leading, self.total, self.dim, self.shortened = leading, total, dim, False


def unread_rows(attention: nn.Module) -> UnreadRows | None:
    """What :func:`skip_unread_rows` left on the last layer's attention; None for any other layer."""
    return getattr(attention, _ATTRIBUTE, None)


@contextmanager
def modules_run_after(
    attention: nn.Module, layer: nn.Module, answered: list[nn.Module]
) -> Iterator[list[nn.Module]]:
    """Collect the outermost modules of a layer that start after its attention function answered.

    Args:
        attention: the module that calls the attention function.
        layer: the module around it.
        answered: the attention modules that have answered so far, kept up to date by the forward.

    Yields:
        The modules, filled by a forward within the context.
    """
    found: list[nn.Module] = []

    def note(module: nn.Module, _: tuple[Any, ...]) -> None:
        if answered and answered[-1] is attention:
            found.append(module)

    candidates = [child for child in (*layer.children(), *attention.children()) if child is not attention]
    handles = [child.register_forward_pre_hook(note) for child in candidates]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def skip_unread_rows(attention: nn.Module, after: list[nn.Module]) -> Callable[[], None]:
    """Install the hooks; they do nothing until the attention function names rows to leave out.

    Args:
        attention: the last layer's.
        after: from :func:`modules_run_after`. Every one must map rows to rows independently, as
            projections, norms and feed-forward networks do.

    Returns:
        What takes the hooks off again.
    """
    unread = UnreadRows()
    # An attribute of every module, not a closure of the hooks: a deep copy of the model keeps its own.
    for module in (attention, *after):
        setattr(module, _ATTRIBUTE, unread)
    handles = [
        handle
        for module in after
        for handle in (module.register_forward_pre_hook(_shorten), module.register_forward_hook(_lengthen))
    ]

    def undo() -> None:
        for handle in handles:
            handle.remove()
        for module in (attention, *after):
            delattr(module, _ATTRIBUTE)

    return undo


def _shorten(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
    unread: UnreadRows = getattr(module, _ATTRIBUTE)
    if not unread.leading or not inputs or not isinstance(inputs[0], Tensor):
        return None
    if inputs[0].ndim <= unread.dim or inputs[0].shape[unread.dim] != unread.total:
        return None
    unread.shortened = True
    kept = inputs[0].narrow(unread.dim, unread.leading, unread.total - unread.leading)
    return (kept, *inputs[1:])


def _lengthen(module: nn.Module, _: tuple[Any, ...], output: object) -> object:
    unread: UnreadRows = getattr(module, _ATTRIBUTE)
    if not unread.shortened:
        return None
    unread.shortened = False
    return _with_zeros(output, unread)


def _with_zeros(output: object, unread: UnreadRows) -> object:
    if isinstance(output, tuple):
        return tuple(_with_zeros(part, unread) for part in output)
    if not isinstance(output, Tensor) or not output.ndim:
        return output
    computed = unread.total - unread.leading
    # Mixtures of experts return the tokens of all rows in one dimension (llama4).
    dim = unread.dim if output.ndim > unread.dim and output.shape[unread.dim] == computed else 0
    if output.shape[dim] % computed:
        return output
    shape = list(output.shape)
    shape[dim] = shape[dim] // computed * unread.leading
    return torch.cat([output.new_zeros(shape), output], dim=dim)

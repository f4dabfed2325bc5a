"""Fully sharded training (FSDP2): every process keeps a share of each weight, gradient and moment.

transformers' and accelerate's own FSDP support expects a PreTrainedModel and stores checkpoints in a
format of its own. Here the two models are sharded by PyTorch's `fully_shard`, layer by layer, and
whatever is stored is put together first, so that checkpoints are those of a single process.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers import PreTrainedModel

from revela.errors import RevelaError
from revela.modeling.layers import layers_of
from revela.training.model import JointModel


def shard(model: JointModel, device: torch.device) -> None:
    """Spread the weights over all processes, in place; cannot be undone, copied or done again.

    Each decoder layer is gathered by itself while it computes; what remains of a model (embeddings,
    last norm, head) is gathered with the model. Which parameters train must be set before. Weights may
    be of several dtypes: FSDP2 wants one only among those of a layer that train, and adapters are
    all float32.

    Raises:
        RevelaError: transformers does not say what the layers of a model are.
    """
    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    for layer in (*_layers(model.retriever.transformer), *_layers(model.causal_lm)):
        fully_shard(layer, mesh=mesh)
    for part in (model.retriever, model.causal_lm, model):
        fully_shard(part, mesh=mesh, reshard_after_forward=True)
    model.retriever.share_forwards = False
    if device.type == "cpu":
        for module in model.modules():
            if isinstance(module, FSDPModule):
                # gloo can sum, but not average.
                module.set_force_sum_reduction_for_comms(True)


def whole(tensor: Tensor) -> Tensor:
    """A sharded tensor put together, any other as it is. All processes must call this."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def whole_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Every tensor put together, one after the other and out of a GPU's memory. All must call this."""
    return {
        name: whole(tensor).cpu() if isinstance(tensor, DTensor) else tensor for name, tensor in state.items()
    }


def store_optimizer_whole(optimizer: torch.optim.Optimizer) -> None:
    """Let `state_dict` give whole moments, on all processes at once, and `load_state_dict` take them."""

    def gather(_: torch.optim.Optimizer, state: dict[str, Any]) -> dict[str, Any]:
        moments = {index: whole_state(entry) for index, entry in state["state"].items()}
        return {**state, "state": moments}

    def scatter(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> dict[str, Any]:
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        moments = {
            index: {name: _like(value, weights[index]) for name, value in entry.items()}
            for index, entry in state["state"].items()
        }
        return {**state, "state": moments}

    optimizer.register_state_dict_post_hook(gather)
    optimizer.register_load_state_dict_pre_hook(scatter)


def _like(value: Tensor, weight: Tensor) -> Tensor:
    """A moment, sharded as its weight is; the step count, a scalar, as it is."""
    if not isinstance(weight, DTensor) or value.shape != weight.shape:
        return value
    # Every process has read the same file: each takes its share and nothing is sent.
    return distribute_tensor(
        value.to(weight.device), weight.device_mesh, weight.placements, src_data_rank=None
    )


def _layers(model: PreTrainedModel) -> list[nn.Module]:
    layers = layers_of(model)
    if not layers:
        raise RevelaError(
            f"training.parallel is fsdp, but transformers does not name the layers of a model of type "
            f"'{model.config.model_type}', so it cannot be sharded by layer. Use training.parallel: ddp."
        )
    return layers

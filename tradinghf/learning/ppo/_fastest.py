"""Which code computes advantages and updates: what the settings name, or what is fastest.

All of it is tested against `_gae` and `_update`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from tradinghf._triton import require_triton
from tradinghf.learning.config import PPOConfig
from tradinghf.learning.ppo._compiled import CompiledUpdate, HalfUpdate, covers
from tradinghf.learning.ppo._distributed import ProcessGroup
from tradinghf.learning.ppo._fused import MOST_PARAMETERS, TritonAdam, triton_discounted
from tradinghf.learning.ppo._fused_update import FusedUpdate, fits
from tradinghf.learning.ppo._gae import discounted
from tradinghf.learning.ppo._graphs import RecordedUpdate
from tradinghf.learning.ppo._network import PackedActorCritic
from tradinghf.learning.ppo._sequences import SequenceUpdate
from tradinghf.learning.ppo._update import Update

Scan = Callable[[Tensor, Tensor], Tensor]


def scan_of(config: PPOConfig, device: torch.device) -> Scan:
    """`discounted`, by the kernels that the settings name.

    Raises:
        ConfigError, MissingExtraError: there is no GPU, or no Triton.

    """
    if config.kernels == "torch":
        return discounted
    require_triton(device.type, "PPOConfig(kernels='triton')")
    return triton_discounted


def update_of(network: PackedActorCritic, config: PPOConfig, group: ProcessGroup) -> Update:
    """The fastest update that suits the network, the device and the settings."""
    plain = config.graphs == "none" and config.kernels == "torch"
    if plain and covers(network.network, config):
        kind = HalfUpdate if network.half else CompiledUpdate
        return kind(network, config, group)
    update: Update
    if network.network.memory is not None:
        update = SequenceUpdate(network, config, group)
    elif config.graphs == "step":
        update = RecordedUpdate(network, config, group)
    elif config.kernels == "triton" and fits(network.network, config):
        update = FusedUpdate(network, config, group)
    else:
        update = Update(network, config, group)
    adam = update.adam
    if config.kernels == "triton" and len(adam.data) <= MOST_PARAMETERS:
        update.adam = TritonAdam(adam.data, adam.grad, adam.limit, adam.eps)
    return update

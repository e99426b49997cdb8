"""Networks over assets by hand: the numbers of automatic differentiation."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from tradinghf.learning.policy import ActorCritic
from tradinghf.learning.ppo._network import PackedActorCritic

BARS, FEATURES = 3, 2


def network_of(shared: bool, levels: int, hidden: tuple[int, ...] = (8, 5)) -> ActorCritic:
    torch.manual_seed(0)
    shape = (BARS, FEATURES, levels)
    network = ActorCritic(1, 1, 2, hidden, levels > 0, shared, "gaussian", assets=shape)
    with torch.no_grad():  # biases and outputs that are worth differentiating
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return network


def observations(count: int, assets: int, *, left: bool = False) -> Tensor:
    """Half of the assets are listed; in the first account none is."""
    obs = torch.randn(count, BARS * assets * FEATURES + 3 * assets + 1 + left)
    market = obs[:, : BARS * assets * FEATURES].view(count, BARS, assets, FEATURES)
    market[..., -1] = (torch.rand(count, 1, assets) < 0.5).float()
    market[0, ..., -1] = 0.0
    return obs


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("levels", [0, 3])
@pytest.mark.parametrize(("count", "assets", "left"), [(7, 1, False), (9, 4, True)])
def test_outputs_and_gradients_are_those_of_the_modules(
    shared: bool, levels: int, count: int, assets: int, left: bool
) -> None:
    network = network_of(shared, levels)
    twin = copy.deepcopy(network)
    obs = observations(count, assets, left=left)
    packed = PackedActorCritic(network)
    out, values = twin(obs)
    to_out, to_values = torch.randn(out.shape), torch.randn(values.shape)
    torch.testing.assert_close(packed.policy_out(obs), out)
    torch.testing.assert_close(packed.value_out(obs), values)
    torch.autograd.backward((out, values), (to_out, to_values))
    packed.grad.fill_(float("nan"))  # of a step that went wrong
    packed.gradients(obs, lambda _: to_values, lambda _: to_out)
    for factor in (1.0, 2.0):
        for name, parameter in twin.named_parameters():
            if name != "log_std":
                expected = factor * parameter.grad
                got = packed.view(packed.grad, name)
                torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)
        packed.gradients(obs, lambda _: to_values, lambda _: to_out, add=True)


def test_parts_of_many_accounts_give_the_same_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    from tradinghf.learning.ppo import _asset_parts

    packed, obs = PackedActorCritic(network_of(False, 3)), observations(11, 4)
    whole = packed.policy_out(obs), packed.value_out(obs)
    monkeypatch.setattr(_asset_parts, "PART_ROWS", 13)  # three accounts
    for before, after in zip(whole, (packed.policy_out(obs), packed.value_out(obs)), strict=True):
        torch.testing.assert_close(after, before)

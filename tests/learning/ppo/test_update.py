"""PPO's update: the gradient of the loss as papers write it, and torch's own Adam."""

from __future__ import annotations

import copy

import pytest
import torch
from support.learning import table_of
from torch import Tensor, nn

from tradinghf.learning.config import PPOConfig
from tradinghf.learning.policy import ActorCritic
from tradinghf.learning.ppo import _network
from tradinghf.learning.ppo._compiled import CompiledUpdate, covers
from tradinghf.learning.ppo._network import PackedActorCritic
from tradinghf.learning.ppo._transitions import Minibatch
from tradinghf.learning.ppo._update import Adam, LossWeights, Update


def reference_loss(
    network: ActorCritic, obs: Tensor, batch: Minibatch, weights: LossWeights
) -> Tensor:
    """PPO's loss as papers write it, by torch.distributions and automatic differentiation."""
    out, values = network.policy_out(obs), network.value_out(obs)
    if network.shape["discrete"]:
        dist = torch.distributions.Categorical(logits=out)
        log_prob, entropy = dist.log_prob(batch.actions), dist.entropy()
        kl_to = torch.distributions.Categorical
        other = None if batch.reference is None else kl_to(logits=batch.reference)
    else:
        dist = torch.distributions.Normal(out, network.log_std.exp())
        tanh = torch.distributions.TanhTransform(cache_size=1)
        squashed = torch.distributions.TransformedDistribution(dist, tanh)
        log_prob = squashed.log_prob(tanh(batch.actions)).sum(-1)
        entropy = dist.entropy().sum(-1)
        other = None
        if batch.reference is not None and batch.reference_log_std is not None:
            spread = batch.reference_log_std.exp()
            other = torch.distributions.Normal(batch.reference, spread)
    ratio = (log_prob - batch.log_prob).exp()
    gain = torch.min(
        ratio * batch.advantage,
        ratio.clamp(1 - weights.clip, 1 + weights.clip) * batch.advantage,
    )
    loss = -gain.mean() + weights.value * (values - batch.target).square().mean()
    loss = loss - weights.entropy * entropy.mean()
    if other is not None:
        kl = torch.distributions.kl_divergence(dist, other)
        loss = loss + weights.reference_kl * (kl.sum(-1) if kl.dim() > 1 else kl).mean()
    return loss


def random_batch(discrete: bool, rows: int, reference: bool) -> tuple[Tensor, Minibatch]:
    g = torch.Generator().manual_seed(5)
    raw = torch.randn(rows, 3, generator=g)
    batch = Minibatch(
        actions=torch.randint(3, (rows,), generator=g) if discrete else raw,
        log_prob=torch.randn(rows, generator=g) * 0.3 - (1.1 if discrete else 3.0),
        advantage=torch.randn(rows, generator=g),
        target=torch.randn(rows, 2, generator=g),
        reference=torch.randn(rows, 3, generator=g) if reference else None,
        reference_log_std=torch.randn(3, generator=g) if reference else None,
    )
    return torch.randn(rows, 7, generator=g), batch


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("discrete", [True, False])
@pytest.mark.parametrize("reference", [False, True])
@pytest.mark.parametrize("hidden", [(), (8,), (8, 6)])
def test_gradients_are_those_of_the_loss(
    shared: bool,
    discrete: bool,
    reference: bool,
    hidden: tuple[int, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(1)
    network = ActorCritic(7, 3, 2, hidden, discrete, shared)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.4)
    twin = copy.deepcopy(network)
    obs, batch = random_batch(discrete, 33, reference)
    weights = LossWeights(0.2, 0.5, 0.01, 0.3 if reference else 0.0)
    loss = reference_loss(twin, obs, batch, weights)
    names = [n for n, p in twin.named_parameters() if p.requires_grad]
    expected = dict(
        zip(
            names,
            torch.autograd.grad(loss, [p for p in twin.parameters() if p.requires_grad]),
            strict=True,
        )
    )
    config = PPOConfig(max_gradient_norm=1e9)
    rows = torch.randperm(33)
    statistics = []
    for kind in (Update, CompiledUpdate) if covers(network, config) else (Update,):
        packed = PackedActorCritic(copy.deepcopy(network))
        learner = kind(packed, config)
        for size in (33, 10):  # at once, and in parts that add up to it
            monkeypatch.setattr(_network, "PART_ROWS", size)
            statistics.append(learner.step(rows, table_of(obs, batch), weights, 0.0))
            for name in names:
                got = packed.view(packed.grad, name)
                torch.testing.assert_close(got, expected[name], rtol=2e-4, atol=2e-6)
    for other in statistics[1:]:
        torch.testing.assert_close(other, statistics[0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("discrete", [True, False])
def test_half_precision_gives_nearly_the_same_gradient(
    discrete: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(1)
    network = ActorCritic(7, 3, 2, (16, 16), discrete, False)
    obs, batch = random_batch(discrete, 64, False)
    gradients = []
    for precision in ("float32", "bfloat16"):
        config = PPOConfig(precision=precision, max_gradient_norm=1e9)  # type: ignore[arg-type]
        packed = PackedActorCritic(copy.deepcopy(network), precision)
        learner = Update(packed, config)
        for size in (64, 24):
            monkeypatch.setattr(_network, "PART_ROWS", size)
            learner.step(torch.arange(64), table_of(obs, batch), LossWeights(0.2, 0.5, 0.01), 0.0)
            gradients.append(packed.grad.clone())
    for exact, half in zip(gradients[:2], gradients[2:], strict=True):
        assert half.dtype == torch.float32
        assert not torch.equal(half, exact)
        assert float((half - exact).norm() / exact.norm()) < 0.02
        assert float(torch.cosine_similarity(half, exact, dim=0)) > 0.9995


# ---------------------------------------------------------------------- the optimiser


def test_optimiser_equals_torchs_adam_with_clipping() -> None:
    torch.manual_seed(0)
    twin = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    data = nn.utils.parameters_to_vector(twin.parameters()).detach().clone()
    adam = Adam(data, torch.zeros_like(data), limit=0.5)
    other = torch.optim.Adam(twin.parameters(), lr=1e-2, eps=1e-5)
    for step in range(20):
        adam.grad.copy_(torch.randn_like(data) * (0.01 if step % 2 else 3.0))
        start = 0
        for parameter in twin.parameters():
            part = adam.grad[start : start + parameter.numel()]
            parameter.grad, start = part.view_as(parameter).clone(), start + len(part)
        nn.utils.clip_grad_norm_(twin.parameters(), 0.5)
        for group in other.param_groups:
            group["lr"] = 1e-2 / (1 + step)
        other.step()
        adam.step(1e-2 / (1 + step))
    expected = nn.utils.parameters_to_vector(twin.parameters())
    torch.testing.assert_close(data, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_gradient_that_is_not_finite_changes_nothing(bad: float) -> None:
    data = torch.randn(8, generator=torch.Generator().manual_seed(0))
    adam = Adam(data, torch.full((8,), 0.1), limit=0.5)
    assert adam.step(0.1) == 0.0
    before = {k: v.clone() for k, v in adam.state().items()} | {"data": data.clone()}
    adam.grad[1] = bad
    assert adam.step(0.1) == 1.0
    after = adam.state() | {"data": data}
    assert all(torch.equal(value, before[name]) for name, value in after.items())
    adam.grad.fill_(0.1)
    assert adam.step(0.1) == 0.0
    assert not any(torch.equal(value, before[name]) for name, value in after.items())

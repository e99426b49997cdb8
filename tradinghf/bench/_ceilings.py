"""What the machine can do at most, measured in the run that is compared with it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from tradinghf.learning.ppo import PPO
    from tradinghf.simulation import MarketEnv

COPY_BYTES = 2**27  # larger than the caches
REPEATS = 7


def gemm_rate() -> float:
    """Float32 matrix products of PPO's size [operations per second of processor time]."""
    left, right = torch.randn(2048, 64), torch.randn(64, 64)
    out = torch.empty(2048, 64)
    return _best(lambda: torch.mm(left, right, out=out), 2.0 * 2048 * 64 * 64, times=100)


def copy_rate(device: str = "cpu") -> float:
    """Copying memory [bytes read and written per second of processor time; of the clock on a GPU].

    The copy is of 128 MiB, so that it comes from main memory; smaller ones are faster.
    """
    source = torch.zeros(COPY_BYTES // 4, device=device)
    target = torch.empty_like(source)
    if source.is_cuda:
        return _best_on_gpu(lambda: target.copy_(source), 2.0 * COPY_BYTES)
    return _best(lambda: target.copy_(source), 2.0 * COPY_BYTES, times=1)


def _best(work: Callable[[], object], amount: float, *, times: int) -> float:
    rates = []
    for _ in range(REPEATS):
        begin = time.process_time()
        for _ in range(times):
            work()
        rates.append(amount * times / max(time.process_time() - begin, 1e-9))
    return max(rates)


def _best_on_gpu(work: Callable[[], object], amount: float) -> float:
    rates = []
    for _ in range(REPEATS):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        work()
        torch.cuda.synchronize()
        rates.append(amount / (time.perf_counter() - begin))
    return max(rates)


def flops_per_step(agent: PPO) -> float:
    """Floating-point operations of the networks' matrix products per environment step.

    Acting takes one pass of actor and critics; each epoch a forward pass, the weights' gradients,
    and the activations' gradients of every layer but the first.
    """
    layers = [m for m in agent.network.modules() if isinstance(m, nn.Linear)]
    inputs = agent.network.shape["inputs"]
    sizes = [m.in_features * m.out_features for m in layers]
    inner = sum(s for s, m in zip(sizes, layers, strict=True) if m.in_features != inputs)
    return 2.0 * (sum(sizes) + agent.config.epochs * (2 * sum(sizes) + inner))


def bytes_per_step(env: MarketEnv, actions: Tensor) -> float:
    """Least memory traffic of one environment step.

    The accounts are read and written once, and so are the features of the window that become the
    observation; the bar is read, and reward, flags and facts are written.
    """
    env.reset(seed=0)
    obs, reward, terminated, truncated, info = env.step(actions)
    state = sum(t.nbytes for t in _tensors(env.state))
    seen = sum(t.nbytes for t in _tensors(obs))
    written = sum(t.nbytes for t in _tensors([reward, terminated, truncated, info]))
    bar = env.dynamics.bars.rows[0].nbytes
    return (2 * state + 2 * seen + written) / env.num_envs + bar


def _tensors(tree: Any) -> Iterator[Tensor]:
    """Every tensor in nested dataclasses, dicts and lists."""
    if isinstance(tree, Tensor):
        yield tree
    elif is_dataclass(tree):
        for field in fields(tree):
            yield from _tensors(getattr(tree, field.name))
    elif isinstance(tree, (dict, list)):
        for part in tree.values() if isinstance(tree, dict) else tree:
            yield from _tensors(part)

"""A market that pays agents of other libraries what our own PPO is paid: the same streams."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tradinghf.errors import ConfigError
from tradinghf.learning.ppo import Rollout, Stream
from tradinghf.learning.tasks import PayingEnv
from tradinghf.simulation import MarketEnv

_EXPLORED = 64  # episodes of random actions that give the unit of each stream
_MOST_KEPT = 2**20  # steps that may be paid again
_FACTS = ("equity", "position", "turnover", "costs", "realised_pnl", "close", "price")


class PaidMarket(PayingEnv):
    """N accounts with NumPy arrays that are paid by reward streams, summed.

    A stream is a function of whole episodes, of which no bar's reward depends on later bars: so an
    episode is completed with bars in which nothing happens, and the present bar's reward is read.
    Each stream is divided by the spread of its returns in random trading, as our PPO divides them
    by a running one.

    Args:
        env: the task; all environments are at the same bar.
        streams: name -> reward and weight.
        seed: of the first reset that names none, and of the random trading.

    Attributes:
        weights: name -> weight of each stream.
        earned: name -> sum of what was paid, before weights and units.
        episodes: that ended.

    """

    def __init__(self, env: MarketEnv, streams: Mapping[str, Stream], seed: int) -> None:
        super().__init__(env)
        self.name, self.env = "the market", env
        self._streams, self._first = streams, seed
        self.weights = {name: stream.weight for name, stream in streams.items()}
        self.earned = dict.fromkeys(streams, 0.0)
        self.episodes = 0
        self._units = dict.fromkeys(streams, 1.0)
        self._running: Recording | None = None
        self._kept: deque[Recording] = deque()
        self.late = 0
        self._explored = explored(env.like(num_envs=_EXPLORED), seed)

    @torch.no_grad()
    def measure(self) -> None:
        """Find the unit of each stream again: one of them pays otherwise now."""
        for name, stream in self._streams.items():
            to_go = stream.reward(self._explored).double().flip(0).cumsum(0)
            self._units[name] = max(float(to_go.std()), 1e-8)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start new episodes in all environments.

        Raises:
            ConfigError: only some are to start.

        """
        if options and "reset_mask" in options:
            raise ConfigError(
                "An environment that pays by episodes starts all of them together; expected a "
                "reset without reset_mask."
            )
        if seed is None and self._running is None:
            seed = self._first
        obs, info = self.env.reset(seed=seed, options=options)
        self._record(info["close"])
        self._begin_count()
        return arrays(obs), arrays(info)

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """One bar, paid by the streams.

        Raises:
            ConfigError: before the first reset.

        """
        running = self._running
        if running is None:
            raise ConfigError("The environment has no episode yet; call reset() first.")
        obs, own, terminated, truncated, info = self.env.step(np.asarray(actions))
        running.add(info, own)
        bar = running.bars - 1
        paid = torch.zeros_like(own, dtype=torch.float64)
        done = (terminated | truncated).cpu().numpy()
        if not self.late or done.all():
            for name, rows in self._parts(running).items():
                self.earned[name] += float((rows if self.late else rows[bar]).sum())
                if not self.late:
                    paid += self.weights[name] * rows[bar] / self._units[name]
        if done.all():
            self.episodes += self.num_envs
            close = self.env.state.ledger.close
            self._record(close if self.env.config.portfolio else close[:, 0])
        told = self._told(arrays(info), own.double().cpu().numpy(), done)
        return arrays(obs), arrays(paid), arrays(terminated), arrays(truncated), told

    def _record(self, close: Tensor) -> None:
        """A new episode begins at closes [N] or [N, A]."""
        if self._running is not None and (self.remembers or self.late):
            self._kept.append(self._running)
            most = self.late or _MOST_KEPT // self.num_envs
            while sum(each.bars for each in self._kept) - self._kept[0].bars >= most:
                self._kept.popleft()
        self._running = Recording(close.clone(), self.env.config.horizon)

    @torch.no_grad()
    def _parts(self, episode: Recording) -> dict[str, Tensor]:
        """Of each stream [L, N] what an episode is paid, as far as it went."""
        rollout = episode.rollout()
        return {name: s.reward(rollout).double() for name, s in self._streams.items()}

    def paid_again(self, count: int) -> Any:
        """[count, N] what the last `count` steps would be paid now.

        Raises:
            ConfigError: not so many are kept.

        """
        rows: list[Any] = []
        for episode in reversed([*self._kept, *filter(None, [self._running])]):
            if len(rows) >= count:
                break
            if episode.bars:
                parts = self._parts(episode)
                total = sum(self.weights[k] / self._units[k] * x for k, x in parts.items())
                rows = [*arrays(total)[: episode.bars], *rows]
        if len(rows) < count:
            raise ConfigError(
                f"{count * self.num_envs:,} steps were to be paid again, of which "
                f"{len(rows) * self.num_envs:,} are kept; expected a replay buffer of at most "
                f"{_MOST_KEPT // self.num_envs * self.num_envs:,}. Make it smaller (buffer_size)."
            )
        return np.stack(rows[len(rows) - count :])


class Recording:
    """What N accounts did in an episode so far.

    Args:
        first_close: [N] or [N, A] prices at the start.
        horizon: bars of the whole episode L.

    """

    def __init__(self, first_close: Tensor, horizon: int) -> None:
        self._first, self._horizon = first_close, horizon
        self._facts: dict[str, Tensor] = {}
        self.own = first_close.new_zeros(horizon, len(first_close))
        self.bars = 0

    def add(self, info: Mapping[str, Tensor], own: Tensor) -> None:
        """Add a bar: the environment's info and reward [N]."""
        for name in _FACTS:
            value = info[name]
            if self.bars == 0:
                self._facts[name] = value.new_zeros(self._horizon, *value.shape)
            lasting = name in ("equity", "position", "close")  # the rest happens in a bar
            if lasting:
                self._facts[name][self.bars :] = value
            else:
                self._facts[name][self.bars] = value
        self.own[self.bars] = own
        self.bars += 1

    def rollout(self) -> Rollout:
        """The episode for streams; nothing happens in the bars to come."""
        facts, none = dict(self._facts), torch.zeros(0)
        facts["price"] = facts["price"].clone()
        facts["price"][self.bars :] = torch.nan
        ended = torch.zeros(self.own.shape, dtype=torch.bool)
        ended[-1] = True
        facts["open_close"] = self._first[None]
        never = torch.zeros_like(ended)
        return Rollout(none, none, none, none, none, self.own, never, ended, facts)


def explored(env: MarketEnv, seed: int) -> Rollout:
    """One episode of random actions in each environment."""
    env.action_space.seed(seed)
    _, info = env.reset(seed=seed)
    found = Recording(info["close"], env.config.horizon)
    for _ in range(env.config.horizon):
        *_, info = told = env.step(env.action_space.sample())
        found.add(info, told[1])
    return found.rollout()


def arrays(value: Any) -> Any:
    """Tensors as arrays of their own memory, through dicts."""
    if isinstance(value, dict):
        return {name: arrays(part) for name, part in value.items()}
    return value.clone().cpu().numpy() if isinstance(value, Tensor) else value

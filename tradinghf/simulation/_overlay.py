"""Strategies as bases of a policy: their targets, and what an action makes of them."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from tradinghf.config import EnvConfig, Overlay
from tradinghf.errors import ConfigError, StrategyError
from tradinghf.market import Floats, MarketData
from tradinghf.registry import FILE_MODULE
from tradinghf.resources import resource_dir
from tradinghf.simulation._actions import ActionMap
from tradinghf.strategies import Strategy, held_targets, load_strategy

_HERE: dict[str, Strategy] = {}  # strategies that no file holds, by the text that stands for them
_PROFIT_LIMIT = 0.5  # of a base's trade in hand, as it is observed


def overlay_of(base: Any) -> Overlay:
    """The overlay that a caller means by `MarketEnv(base=...)`.

    Args:
        base: a strategy, its text (see `Overlay.bases`), several of either, or an `Overlay`.

    Raises:
        ConfigError: something else.
        StrategyError: there is no such strategy.

    """
    if isinstance(base, Overlay):
        return base
    if isinstance(base, Mapping):
        return Overlay(**base)
    several = [base] if isinstance(base, str | Strategy) else base
    if not isinstance(several, Sequence) or not all(isinstance(b, str | Strategy) for b in several):
        raise ConfigError(
            f"base is {base!r}; expected a strategy, a name such as sma_cross:fast=10,slow=50, "
            "FILE.py:function, several of these, or Overlay(...)."
        )
    return Overlay(tuple(base_text(b) for b in several))


def base_text(base: str | Strategy) -> str:
    """The text that stands for a strategy: what a saved policy knows its base by.

    A strategy of a notebook or script has a text that only this process understands.
    """
    if isinstance(base, str):
        read_base(base)
        return base
    module = sys.modules.get(base.function.__module__)
    path = getattr(module, "__file__", None)
    if path is not None and base.function.__module__.startswith(FILE_MODULE):
        shipped = Path(path).resolve().parent == resource_dir("strategies").resolve()
        return base.name if shipped else f"{path}:{base.name}"
    text = f"here.{base.name}"
    _HERE[text] = base
    return text


def read_base(text: str) -> Strategy:
    """A base's strategy, from its text.

    Raises:
        StrategyError: no such strategy, or parameters that it does not have.

    """
    if text.startswith("here."):
        if text not in _HERE:
            raise StrategyError(
                f"The base {text.removeprefix('here.')!r} was defined in a notebook or a script "
                "that does not run now. Put it into a file, and name it FILE.py:function."
            )
        return _HERE[text]
    return load_strategy(text)


def base_targets(overlay: Overlay, market: MarketData, *, together: bool) -> Floats:
    """[T, A, K] standing target of each base at each close.

    Args:
        overlay: names the K bases.
        market: the bars.
        together: as one portfolio; else each asset as if it were traded alone.

    """
    columns = []
    for text in overlay.bases:
        rule = read_base(text)
        if together:
            columns.append(held_targets(rule(market)))
        else:
            alone = (rule(market.select([s])) for s in market.symbols)
            columns.append(np.concatenate([held_targets(w) for w in alone], axis=1))
    return np.stack(columns, axis=-1)


def base_features(targets: Floats, market: MarketData) -> Floats:
    """[T, A, 2K] what is observed of the bases: target, and profit since it last changed."""
    close = np.log(market.close)[..., None]
    bars = np.arange(len(targets)).reshape(-1, 1, 1)
    changed = np.ones(targets.shape, dtype=bool)
    changed[1:] = targets[1:] != targets[:-1]
    since = np.maximum.accumulate(np.where(changed, bars, 0), axis=0)
    then = np.take_along_axis(np.broadcast_to(close, targets.shape), since, axis=0)
    profit = np.sign(targets) * np.expm1(close - then)
    return np.concatenate([targets, np.clip(profit, -_PROFIT_LIMIT, _PROFIT_LIMIT)], axis=-1)


def with_bases(market: MarketData, config: EnvConfig) -> tuple[Floats, Floats] | tuple[None, None]:
    """Targets [T, A, K] and features [T, A, 2K] of a task's bases; nothing where it has none."""
    if config.overlay is None:
        return None, None
    targets = base_targets(config.overlay, market, together=config.portfolio)
    return targets, base_features(targets, market)


@dataclass(frozen=True)
class Modulator:
    """Turns actions of N environments into targets, given what the bases want.

    Attributes:
        targets: [R, K, A'] of the K bases; a row is asset * T + bar, of portfolios the bar.
        actions: reads them.
        bars: T, of single assets; 0 for portfolios.
        weights: [M, K] of the bases' targets, for each of M moves.
        caps: [M] largest absolute target of each move; infinite where it has none.
        waits: [M] moves that order nothing.

    """

    targets: Tensor
    actions: ActionMap
    bars: int
    weights: Tensor
    caps: Tensor
    waits: Tensor

    @classmethod
    def of(
        cls, config: EnvConfig, targets: Floats | None, envs: int, like: Tensor
    ) -> Modulator | None:
        """Of a task and its bases' targets [T, A, K], in the precision of `like`; None without."""
        overlay = config.overlay
        if overlay is None or targets is None:
            return None
        moves = [_move(name, len(overlay.bases)) for name in overlay.moves]
        rows = targets.swapaxes(1, 2)
        if not config.portfolio:
            rows = targets.swapaxes(0, 1).reshape(-1, targets.shape[2], 1)

        def tensor(values: Any) -> Tensor:
            return torch.as_tensor(np.array(values), dtype=like.dtype, device=like.device)

        each = 1 if config.actions == "discrete" else len(overlay.bases)
        return cls(
            targets=tensor(rows),
            actions=replace(ActionMap.of(config, envs, each, like), leverage=1.0),
            bars=0 if config.portfolio else len(targets),
            weights=tensor([m[0] for m in moves]),
            caps=tensor([m[1] for m in moves]),
            waits=torch.tensor([name == "wait" for name in overlay.moves], device=like.device),
        )

    @property
    def space(self) -> spaces.Space[Any]:
        """Of one environment's actions."""
        if self.actions.discrete:
            return spaces.Discrete(len(self.weights))
        return spaces.Box(-1.0, 1.0, (self.weights.shape[1],), np.float32)

    def orders(self, given: Any, asset: Tensor, bar: Tensor) -> Tensor:
        """[N, A'] targets; NaN is no order.

        Args:
            given: [N] numbers of moves, or [N, K] in [-1, 1].
            asset, bar: [N] where the environments are.

        Raises:
            ConfigError: another count, or numbers of moves that are not whole.

        """
        actions = self.actions.read(given)
        wanted = self.targets.index_select(0, asset * self.bars + bar)
        if not self.actions.discrete:
            return (self._blend(actions.to(wanted.dtype))[..., None] * wanted).sum(1)
        move = actions[:, 0]
        target = (self.weights[move][..., None] * wanted).sum(1)
        cap = self.caps[move][:, None]
        target = torch.maximum(torch.minimum(target, cap), -cap)
        return target.masked_fill(self.waits[move][:, None], torch.nan)

    @staticmethod
    def _blend(actions: Tensor) -> Tensor:
        """[N, K] shares of the bases: all zero is the first one, whole."""
        bounded = actions.clamp(-1.0, 1.0)
        shares = torch.cat([(1 + bounded[:, :1]).clamp(max=1.0), bounded[:, 1:].clamp(min=0.0)], 1)
        return shares / shares.sum(1, keepdim=True).clamp(min=1.0)


def _move(name: str, bases: int) -> tuple[list[float], float]:
    """Weights of the bases, and the cap, of one move."""
    weights, cap = [0.0] * bases, float("inf")
    if name.startswith("base"):
        weights[int(name[4:]) - 1] = 1.0
    elif name == "blend":
        weights = [1.0 / bases] * bases
    elif name.startswith("x"):
        weights[0] = float(name[1:])
    else:
        weights[0] = 1.0
        cap = float(name[3:]) if name.startswith("cap") else cap
    return weights, cap

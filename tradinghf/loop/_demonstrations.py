"""Demonstrations: episodes that a person traded or drew, against others and as a first policy."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from tradinghf.config import CostModel, EnvConfig, Randomisation
from tradinghf.episodes import Episode
from tradinghf.errors import ConfigError
from tradinghf.feedback import OWN_SOURCE, Ranking, rankings_from
from tradinghf.feedback.store import Store
from tradinghf.learning.config import RLHFConfig
from tradinghf.learning.policy import ActorCritic, frozen
from tradinghf.learning.ppo import PPO
from tradinghf.loop._brought import BroughtAgent
from tradinghf.loop._collect import Actor, collect
from tradinghf.loop._copied_books import book_decisions
from tradinghf.market import FeatureScaler, MarketData
from tradinghf.simulation import MarketEnv, Windows

_RATE = 3e-3
_BATCH = 4096
_SMOOTHING = 0.05  # what is left to exploration
_HELD_OUT = 0.2  # share of the windows on which the copying is stopped
_PATIENCE = 30  # passes without a better copy of the windows held out
_NEAR = 0.1  # of the equity: so near a continuous action counts as the trader's


def is_demonstration(episode: Episode) -> bool:
    """Whether a person traded or drew the episode."""
    return episode.source.startswith(OWN_SOURCE)


def located(
    episodes: Sequence[Episode], market: MarketData, lookback: int
) -> list[tuple[Episode, int, int]]:
    """(episode, asset, first bar) of those whose bars are in a market, perhaps a slice of theirs.

    Args:
        episodes: of whatever markets.
        market: where they are looked for, by times and closes.
        lookback: bars that a policy has to see before the first decision.

    """
    found = []
    for episode in episodes:
        if episode.symbol not in market.symbols:
            continue
        asset = market.symbols.index(episode.symbol)
        start = int(np.searchsorted(market.timestamps, episode.timestamps[0]))
        rows = slice(start, start + episode.bars + 1)
        same = np.array_equal(market.timestamps[rows], episode.timestamps)
        if same and np.allclose(market.close[rows, asset], episode.close, rtol=1e-9, atol=0):
            found += [(episode, asset, start)] if start >= lookback - 1 else []
    return found


def compare_demonstrations(
    demonstrations: Sequence[Episode],
    market: MarketData,
    actor: Actor,
    *,
    config: EnvConfig,
    costs: CostModel,
    rater: str,
    scaler: FeatureScaler | None = None,
    seed: int = 0,
) -> tuple[list[Episode], list[Ranking]]:
    """What somebody else does in the windows of demonstrations, and the preference for them.

    One comparison a window: it is an observed choice between two, and its likelihood is that of
    any answer. It has a rater of its own, "own:RATER": how far choices made before the outcome was
    known follow the values of answers given after it is found from the data (`rater_trust`).

    Args:
        demonstrations: of this market.
        market: their bars.
        actor: who else trades.
        config: its task; the horizon is the demonstrations'.
        costs: that it pays.
        rater: whose demonstrations they are.
        scaler: of the actor's features.
        seed: of the actor's randomness.

    Returns:
        the other episodes, and a ranking for each that differs from its demonstration.

    """
    others, rankings = [], []
    places = sorted(located(demonstrations, market, config.lookback), key=lambda p: p[0].bars)
    for bars, group in groupby(places, key=lambda place: place[0].bars):
        own = list(group)
        windows = Windows(np.array([p[1] for p in own]), np.array([p[2] for p in own]))
        task = dataclasses.replace(config, horizon=bars)
        env = MarketEnv(market, num_envs=len(own), config=task, costs=costs, scaler=scaler)
        rows = collect(market, [actor], windows, env=env, seed=seed)
        for (mine, _, _), (other,) in zip(own, rows, strict=True):
            if np.array_equal(mine.equity, other.equity):
                continue
            # The same window of another slice of the data is the same window.
            other = dataclasses.replace(other, market=mine.market, start=mine.start)
            others.append(other)
            rankings += rankings_from("best", (mine, other), 0, rater=f"{OWN_SOURCE}{rater}")
    return others, rankings


@dataclass(frozen=True)
class Copied:
    """What came of copying demonstrations.

    Attributes:
        windows: demonstrations that were copied; of a portfolio, stretches of bars with some.
        decisions: bars in them; of a portfolio, of every asset of which something is known.
        agreement: share of the decisions in windows held out that the copy makes as the trader
            did; of continuous actions, within a tenth of the equity.
        commonest: what always doing the trader's commonest (or median) would reach there.

    """

    windows: int
    decisions: int
    agreement: float
    commonest: float


def copy_demonstrations(
    network: ActorCritic, env: MarketEnv, episodes: Sequence[Episode], *, passes: int, seed: int
) -> Copied | None:
    """Let a policy begin as the trader trades: behaviour cloning, in place.

    What the trader held at the end of each bar, or the level nearest to it, is the action to copy,
    seen from an account that followed these actions so far. A portfolio's policy copies the assets
    of which a bar's position is known, and one with a memory goes through each window from its
    first bar on. Copying stops where windows held out are copied no better.

    Args:
        network: of the policy; levels are copied by cross-entropy, continuous actions by the
            distance of the likeliest one.
        env: the task.
        episodes: perhaps demonstrations; those on the task's bars are copied.
        passes: at most this many over the decisions.
        seed: of the windows held out and of the order.

    Returns:
        None where nothing can be copied: no demonstration on these bars.

    Raises:
        ConfigError: the task trades a portfolio by levels, and the network shares no weights
            between the assets.

    """
    own = located(list(filter(is_demonstration, episodes)), env.market, env.config.lookback)
    if not own or passes < 1:
        return None
    discrete = bool(network.shape["discrete"])
    if env.config.portfolio and discrete and network.shape["assets"] is None:
        raise ConfigError(
            "Levels of a portfolio are copied into networks whose weights are shared by the assets "
            "(PPOConfig(network='assets')). Train with RLHFConfig(imitate=0) to begin from nothing."
        )
    decisions = list(book_decisions(env, own) if env.config.portfolio else _decisions(env, own))
    if not decisions:
        return None
    shuffled = np.random.default_rng(seed).permutation(len(decisions))
    held_out = shuffled[: round(_HELD_OUT * len(decisions))].tolist()
    learnt = shuffled[len(held_out) :].tolist()
    joined = _joined if network.memory is None else _padded
    train = joined([decisions[number] for number in sorted(learnt)])
    test = joined([decisions[number] for number in sorted(held_out or learnt)])
    copy = frozen(network).requires_grad_(True)
    _fit(copy, train, test, passes, seed)
    network.load_state_dict(copy.state_dict())
    done, wanted = train.action[train.known], test.action[test.known]
    usual = done.mode().values if discrete else done.median()

    def alike(one: Tensor) -> float:
        near = one == wanted if discrete else (one - wanted).abs() <= _NEAR
        return float(near.double().mean())

    count = sum(int(known.sum()) for *_, known in decisions)
    with torch.no_grad():
        copied = alike(copy.chosen(_seen(copy, test.obs), True, None)[test.known])
    return Copied(len(decisions), count, copied, alike(usual))


def begin_as_demonstrated(
    agent: PPO | BroughtAgent,
    env: MarketEnv,
    store: Store | None,
    until: np.datetime64 | None,
    config: RLHFConfig,
) -> list[dict[str, Any]]:
    """Copy the store's demonstrations into a learner that has not learned yet.

    Returns:
        a row for the loop's history, or none where nothing was copied.

    """
    if store is None or agent.iteration or not config.imitate:
        return []
    names = [n for n, source in store.sources().items() if source.startswith(OWN_SOURCE)]
    own = [e for e in store.episodes(names) if until is None or e.timestamps[-1] <= until]
    network = agent.network
    if not own or env.config.overlay or not isinstance(network, ActorCritic):
        return []  # others' agents begin from nothing, and an overlay as its base
    copied = copy_demonstrations(network, env, own, passes=config.imitate, seed=config.seed)
    return [] if copied is None else [{"round": 0, "copied": dataclasses.asdict(copied)}]


def _decisions(
    env: MarketEnv, own: Sequence[tuple[Episode, int, int]]
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """[L, D] observations of each, [L] levels or [L, 1] positions held, and that all are known."""
    levels = np.array(env.config.levels)
    discrete = env.config.actions == "discrete"
    for episode, asset, start in own:
        config = dataclasses.replace(
            env.config, horizon=episode.bars, randomise=Randomisation(), autoreset="disabled"
        )
        one = env.like(num_envs=1, config=config)
        obs, _ = one.reset(seed=0, options={"asset": [asset], "start": [start]})
        held = episode.position[:, None]
        nearest = np.abs(held - levels).argmin(1) if discrete else held.clip(-1, 1)
        labels = torch.as_tensor(nearest if discrete else nearest.astype(np.float32))
        labels = _at_market(env.config, labels)
        seen = []
        for label in labels:
            seen.append(one.dense(obs)[0].clone())
            obs, *_ = one.step(label[None])
        yield torch.stack(seen).float(), labels, torch.ones_like(labels, dtype=torch.bool)


def _at_market(config: EnvConfig, labels: Tensor) -> Tensor:
    """Actions that order levels [L] or positions [L, 1] at market, where there are other orders."""
    if config.orders == ("market",):
        return labels
    if config.actions == "discrete":
        at = config.orders.index("market") if "market" in config.orders else 0
        return labels * len(config.orders) + at
    return torch.cat([labels, torch.zeros_like(labels)], 1)


class _Decisions(NamedTuple):
    """[B, D] observations, [B, ..] actions to copy, and which of them are known.

    Or [W, L, ..] of windows, in order of time.
    """

    obs: Tensor
    action: Tensor
    known: Tensor


def _joined(parts: Sequence[tuple[Tensor, Tensor, Tensor]]) -> _Decisions:
    """Decisions of windows one after another."""
    return _Decisions(*(torch.cat(column) for column in zip(*parts, strict=True)))


def _padded(parts: Sequence[tuple[Tensor, Tensor, Tensor]]) -> _Decisions:
    """Decisions of windows side by side; nothing is known after the end of a short one."""
    columns = (pad_sequence(list(column), True) for column in zip(*parts, strict=True))
    return _Decisions(*columns)


def _seen(network: ActorCritic, obs: Tensor) -> Tensor:
    """What actor and critics see of observations [B, D], or through a memory of [W, L, D]."""
    unit = network.memory
    if unit is None:
        return obs
    begins = obs.new_zeros(obs.shape[1], len(obs), dtype=torch.bool)
    return unit.through(obs.transpose(0, 1), unit.blank(len(obs)), begins).transpose(0, 1)


def _fit(network: ActorCritic, train: _Decisions, test: _Decisions, passes: int, seed: int) -> None:
    """By Adam; the weights are those that copy the test decisions best."""
    device = next(network.parameters()).device
    train, test = (_Decisions(*(x.to(device) for x in part)) for part in (train, test))
    crossed = torch.nn.CrossEntropyLoss(label_smoothing=_SMOOTHING)

    def loss_of(obs: Tensor, wanted: Tensor, known: Tensor) -> Tensor:
        out = network.policy_out(_seen(network, obs))
        if not network.shape["discrete"]:
            done = network.head.to_env(network.head.mode(out))
            return torch.nn.functional.l1_loss(done[known], wanted[known])
        if network.shape["assets"] is not None:  # a row for each asset, its listing last
            out = out.unflatten(-1, (wanted.shape[-1], -1))[..., :-1]
        found: Tensor = crossed(out[known], wanted[known])
        return found

    parts = (network.trunk, network.actor, network.memory or torch.nn.Identity())
    adam = torch.optim.Adam([w for part in parts for w in part.parameters()], lr=_RATE)
    size = _BATCH if network.memory is None else max(_BATCH // train.obs.shape[1], 1)
    generator = torch.Generator().manual_seed(seed)
    best, kept, since = float("inf"), network.state_dict(), 0
    for _ in range(passes):
        for rows in torch.randperm(len(train.obs), generator=generator).split(size):
            adam.zero_grad()
            loss_of(*(x[rows] for x in train)).backward()
            adam.step()
        with torch.no_grad():
            loss = float(loss_of(*test))
        since += 1
        if loss < best:
            best, since = loss, 0
            kept = {name: value.clone() for name, value in network.state_dict().items()}
        if since >= _PATIENCE:
            break
    network.load_state_dict(kept)

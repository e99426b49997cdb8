"""Demonstrations: episodes that a person traded or drew, against others and as a first policy."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch import Tensor

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
from tradinghf.market import FeatureScaler, MarketData
from tradinghf.simulation import MarketEnv, Windows

_RATE = 3e-3
_BATCH = 4096
_SMOOTHING = 0.05  # what is left to exploration
_HELD_OUT = 0.2  # share of the windows on which the copying is stopped
_PATIENCE = 10  # passes without a better copy of the windows held out
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
        windows: demonstrations that were copied.
        decisions: bars in them.
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
    seen from an account that followed these actions so far. Copying stops where windows held out
    are copied no better.

    Args:
        network: of a policy of one asset; levels are copied by cross-entropy, continuous actions
            by the distance of the likeliest one.
        env: the task.
        episodes: perhaps demonstrations; those on the task's bars are copied.
        passes: at most this many over the decisions.
        seed: of the windows held out and of the order.

    Returns:
        None where nothing can be copied: no demonstration on these bars.

    Raises:
        ConfigError: the task trades a portfolio; what is demonstrated trades one asset.

    """
    own = located(list(filter(is_demonstration, episodes)), env.market, env.config.lookback)
    if not own or passes < 1:
        return None
    if env.config.portfolio:
        raise ConfigError(
            "Demonstrations trade one asset each, and this task a portfolio (EnvConfig(portfolio="
            "True)). Train with RLHFConfig(imitate=0) to begin from nothing."
        )
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(own))
    held_out = set(shuffled[: round(_HELD_OUT * len(own))].tolist())
    parts: dict[bool, list[tuple[Tensor, Tensor]]] = {False: [], True: []}
    for number, decisions in enumerate(_decisions(env, own)):
        parts[number in held_out].append(decisions)
    train = [torch.cat(column) for column in zip(*parts[False], strict=True)]
    test = [torch.cat(column) for column in zip(*(parts[True] or parts[False]), strict=True)]
    copy = frozen(network).requires_grad_(True)
    _fit(copy, (train[0], train[1]), (test[0], test[1]), passes, seed)
    network.load_state_dict(copy.state_dict())
    discrete = bool(network.shape["discrete"])
    usual = train[1].mode(dim=0).values if discrete else train[1].median(dim=0).values

    def alike(one: Tensor) -> float:
        near = one == test[1] if discrete else (one - test[1]).abs() <= _NEAR
        return float(near.double().mean())

    count = len(train[1]) + len(test[1]) * bool(parts[True])
    return Copied(len(own), count, alike(copy.act(test[0])), alike(usual))


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
    network, other = agent.network, env.config.portfolio or env.config.overlay
    if not own or other or not isinstance(network, ActorCritic):
        return []  # a portfolio and others' agents begin from nothing, and an overlay as its base
    copied = copy_demonstrations(network, env, own, passes=config.imitate, seed=config.seed)
    return [] if copied is None else [{"round": 0, "copied": dataclasses.asdict(copied)}]


def _decisions(
    env: MarketEnv, own: Sequence[tuple[Episode, int, int]]
) -> Iterator[tuple[Tensor, Tensor]]:
    """[L, D] observations of each demonstration, and [L] levels or [L, 1] positions held."""
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
        seen = []
        for label in labels:
            seen.append(one.dense(obs)[0].clone())
            obs, *_ = one.step(label[None])
        yield torch.stack(seen).float(), labels


def _fit(
    network: ActorCritic,
    train: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
    passes: int,
    seed: int,
) -> None:
    """By Adam; the weights are those that copy the test decisions best."""
    device = next(network.parameters()).device
    (obs, action), (held_obs, held_action) = (
        (x.to(device), y.to(device)) for x, y in (train, test)
    )
    crossed = torch.nn.CrossEntropyLoss(label_smoothing=_SMOOTHING)

    def loss_of(out: Tensor, wanted: Tensor) -> Tensor:
        if network.shape["discrete"]:
            found: Tensor = crossed(out, wanted)
            return found
        return torch.nn.functional.l1_loss(network.head.to_env(network.head.mode(out)), wanted)

    adam = torch.optim.Adam([*network.trunk.parameters(), *network.actor.parameters()], lr=_RATE)
    generator = torch.Generator().manual_seed(seed)
    best, kept, since = float("inf"), network.state_dict(), 0
    for _ in range(passes):
        for rows in torch.randperm(len(action), generator=generator).split(_BATCH):
            adam.zero_grad()
            loss_of(network.policy_out(obs[rows]), action[rows]).backward()
            adam.step()
        with torch.no_grad():
            loss = float(loss_of(network.policy_out(held_obs), held_action))
        since += 1
        if loss < best:
            best, since = loss, 0
            kept = {name: value.clone() for name, value in network.state_dict().items()}
        if since >= _PATIENCE:
            break
    network.load_state_dict(kept)

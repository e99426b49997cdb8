"""Episodes from strategies and policies: who trades which windows, and what happened."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from tradinghf._intervals import Blocks, kept, means, time_blocks
from tradinghf.config import EnvConfig, Randomisation
from tradinghf.episodes import Episode, EpisodeBatch, Floats
from tradinghf.errors import ConfigError, check_memory
from tradinghf.learning.ppo import Metrics
from tradinghf.loop._portfolio import (
    as_one_account,
    index_bars,
    momentum_book,
    no_targets,
    portfolio_name,
    random_book,
    targets_at,
)
from tradinghf.loop._scalers import check_scaler, scaler_of
from tradinghf.market import FIELDS, MarketData, MarketLike, as_market
from tradinghf.simulation import MarketEnv, Windows, random_windows
from tradinghf.strategies import Strategy, held_targets, load_strategy, strategy_names

Progress = Callable[[str, int, int, Metrics], None]  # (phase, done, total, metrics)
EpisodeScore = Callable[[EpisodeBatch], Floats]  # [B] numbers about B episodes


class Acting(Protocol):
    """Anything that turns observations into actions; a trained policy is one."""

    def act(self, obs: Tensor, deterministic: bool = True, uniform: Tensor | None = None) -> Tensor:
        """[N, D] observations to [N] actions."""


@dataclass(frozen=True, eq=False)
class Actor:
    """Somebody who trades windows of one market.

    Attributes:
        name: stored as the episode's source.
        weights: [T, A] standing target of each asset as if it were traded alone; or None. In a
            portfolio they are scaled down together to the leverage.
        policy: decides from observations when there are no weights.
        explore: probability per bar that a random action replaces the policy's own, and 1 draws
            every action from the policy's own distribution; 0 is the policy's best action.
        meta: stored with the episodes (parameters, seed).

    """

    name: str
    weights: Floats | None = None
    policy: Acting | None = None
    explore: float = 0.0
    meta: dict[str, Any] = field(default_factory=dict)


def strategy_actor(strategy: Strategy | str, market: MarketData, **params: Any) -> Actor:
    """A strategy that trades each asset alone, with its targets known on the whole market."""
    rule = load_strategy(strategy) if isinstance(strategy, str) else strategy
    columns = [
        held_targets(rule(market.select([symbol]), **params))[:, 0] for symbol in market.symbols
    ]
    return Actor(rule.name, np.stack(columns, axis=1), meta={"params": rule.bind(**params)})


def random_actor(market: MarketData, config: EnvConfig, seed: int, hold: float) -> Actor:
    """Draws a new target every `hold` bars on average: what chance looks like at that pace."""
    rng = np.random.default_rng(seed)
    shape = (market.bars, market.assets)
    drawn = rng.choice(np.array(config.levels), size=shape)
    switch = rng.random(shape) < 1.0 / hold
    switch[0] = True
    weights = held_targets(np.where(switch, drawn, np.nan))
    return Actor(f"random_{hold:g}", weights, meta={"seed": seed, "hold": hold})


def constant_actor(market: MarketData, level: float) -> Actor:
    """Holds one target throughout."""
    return Actor(f"hold_{level:+g}", np.full((market.bars, market.assets), level))


@torch.no_grad()
def run_actor(env: MarketEnv, actor: Actor, windows: Windows, seed: int) -> dict[str, Tensor]:
    """Let an actor trade W windows in W environments.

    Args:
        env: with `num_envs` = W.
        actor: a strategy's targets or a policy.
        windows: one per environment.
        seed: of the actor's own randomness.

    Returns:
        name -> [L, W] facts of each bar, and "first_close" [W]; a portfolio's as of one account.

    """
    check_scaler(env, actor)
    device = env.device
    asset, start = (torch.as_tensor(x, device=device) for x in (windows.asset, windows.start))
    obs, info = env.reset(seed=seed, options={"asset": asset, "start": start})
    facts: list[dict[str, Tensor]] = []
    generator = torch.Generator().manual_seed(seed)
    targets = None if actor.weights is None else torch.as_tensor(actor.weights, device=device)
    alone = None if env.config.portfolio else asset
    if (fresh := getattr(actor.policy, "fresh", None)) is not None:  # memories begin blank
        actor = dataclasses.replace(actor, policy=fresh())
    standing = no_targets(len(windows), env.market.assets, portfolio=alone is None).to(device)
    first_close = {"first_close": info["close"].clone()}
    for bar in range(env.config.horizon):
        if targets is not None:
            target = targets_at(targets, start + bar, alone)
            order = torch.where(target == standing, torch.nan, target)
            standing = target
            obs, _, _, _, info = env.step_weights(order)
        else:
            obs, _, _, _, info = env.step(_decide(env, actor, obs, generator))
        facts.append({k: v.clone() for k, v in info.items() if k in _RECORDED})
    run = {name: torch.stack([f[name] for f in facts]) for name in facts[0]} | first_close
    return run if alone is not None else as_one_account(run)


_rule = lru_cache(maxsize=32)(strategy_actor)  # the loop asks of the same bars in every round
_RECORDED = ("equity", "position", "turnover", "costs", "price", "close", "realised_pnl")


def _decide(env: MarketEnv, actor: Actor, obs: Any, generator: torch.Generator) -> Tensor:
    """The policy's action, with the exploration that the actor asks for."""
    if actor.policy is None:
        raise ConfigError(f"The actor {actor.name!r} has neither weights nor a policy.")
    obs = env.dense(obs)
    space: Any = env.single_action_space
    levels = 0  # of each action; none where actions are continuous
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
        levels = int(space.n) if isinstance(space, spaces.Discrete) else int(space.nvec[0])
    if actor.explore == 0:
        return actor.policy.act(obs)
    count = math.prod(space.shape) * max(levels, 1)
    uniform = torch.rand((len(obs), count), generator=generator).to(obs.device)
    own = actor.policy.act(obs, deterministic=False, uniform=uniform)
    if actor.explore >= 1:
        return own
    chance = torch.rand(len(obs), generator=generator).to(obs.device) < actor.explore
    draw = torch.rand(own.shape, generator=generator).to(obs.device)
    random = (draw * levels).long() if levels else 2 * draw - 1
    return torch.where(chance.view(-1, *[1] * (own.dim() - 1)), random, own)


def collect(
    market: MarketLike,
    actors: Sequence[Actor],
    windows: Windows,
    *,
    env: MarketEnv | None = None,
    config: EnvConfig | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[list[Episode]]:
    """Every actor trades every window.

    Args:
        market: the bars.
        actors: G of them.
        windows: W of them.
        env: reused when given; must have W environments on this market.
        config: of the environment that is made otherwise, with the scaler of the first policy.
        seed: of the actors' randomness.
        progress: called with ("collect", actors done, G, {}).

    Returns:
        [W][G] episodes: those in one row may be ranked against each other.

    Raises:
        ConfigError: more than fits into memory.

    """
    market = as_market(market)
    bars = (env.config if env is not None else config or EnvConfig()).horizon
    count = len(windows) * len(actors)
    # A dozen numbers a bar, as tensors and as the episode's own.
    check_memory(150.0 * bars * count, f"{count:,} episodes of {bars:,} bars")
    if env is None:
        env = MarketEnv(market, num_envs=len(windows), config=config, scaler=scaler_of(actors))
    runs = []
    for i, actor in enumerate(actors):
        runs.append(run_actor(env, actor, windows, seed + i))
        if progress is not None:
            progress("collect", i + 1, len(actors), {})
    numpy = [{name: v.double().cpu().numpy() for name, v in run.items()} for run in runs]
    return [
        [
            _episode(market, actor, run, w, int(windows.asset[w]), int(windows.start[w]), env)
            for actor, run in zip(actors, numpy, strict=True)
        ]
        for w in range(len(windows))
    ]


def _episode(
    market: MarketData,
    actor: Actor,
    run: dict[str, Floats],
    w: int,
    asset: int,
    start: int,
    env: MarketEnv,
) -> Episode:
    rows = slice(start, start + env.config.horizon + 1)
    bars: dict[str, Any]
    if env.config.portfolio:
        symbol = portfolio_name(market)
        book = {name: run[name][:, w] for name in ("weights", "gains")}
        bars = {**index_bars(market, start, env.config.horizon + 1), **book}
        bars["assets"] = market.symbols
    else:
        bars = {name: np.ascontiguousarray(getattr(market, name)[rows, asset]) for name in FIELDS}
        symbol = market.symbols[asset]
    return Episode(
        **bars,
        timestamps=market.timestamps[rows],
        position=run["position"][:, w],
        equity=np.concatenate([[1.0], run["equity"][:, w]]),
        turnover=run["turnover"][:, w],
        costs=run["costs"][:, w],
        price=run["price"][:, w],
        symbol=symbol,
        market=market.sha256,
        start=start,
        source=actor.name,
        meta=actor.meta,
    )


def env_like(env: MarketEnv, market: MarketData, count: int) -> MarketEnv:
    """The same task on other bars: `count` environments, no domain randomisation."""
    config = dataclasses.replace(env.config, randomise=Randomisation())
    return env.like(market, num_envs=count, config=config)


def episode_batch(env: MarketEnv, actor: Actor, seed: int) -> EpisodeBatch:
    """One episode per environment, on random windows of its market.

    A market with fewer windows than environments has each window traded about equally often.
    """
    return batch_of(run_actor(env, actor, batch_windows(env, seed), seed))


def traded(env: MarketEnv, actor: Actor, windows: Windows) -> EpisodeBatch:
    """What an actor makes of windows, one for each environment."""
    return batch_of(run_actor(env, actor, windows, seed=0))


def batch_windows(env: MarketEnv, seed: int) -> Windows:
    """The windows that `episode_batch` trades, one per environment."""
    found = random_windows(env.market, env.config, env.num_envs, seed)
    turn = np.arange(env.num_envs) % len(found)
    return Windows(found.asset[turn], found.start[turn])


def batch_blocks(env: MarketEnv, seed: int) -> Blocks:
    """The windows that `episode_batch` trades, in blocks of time across all assets."""
    return time_blocks(batch_windows(env, seed).start, env.config.horizon)


def best_network(
    networks: Sequence[Acting],
    env: MarketEnv,
    scores: Sequence[tuple[float, EpisodeScore]],
    seed: int,
    *,
    cautious: bool = False,
    keep: float | None = None,
) -> tuple[int, list[float]]:
    """Which of several policies does best on a market that it was not trained on.

    Args:
        networks: candidates, oldest first; the later one wins a tie.
        env: of the validation market; one episode per environment.
        scores: weighed functions of episodes; each is divided by its spread over the episodes of
            all candidates, as PPO divides its reward streams.
        seed: of the windows, the same for all.
        cautious: the first wins unless the best is better by more than a standard error of the
            difference, between blocks of time.
        keep: candidates whose mean profit is not above the first's less this by a standard error
            are out [fraction of equity an episode]; None: profit does not matter.

    Returns:
        index of the best, and every candidate's mean score.

    """
    batches = [episode_batch(env, Actor("candidate", policy=n), seed) for n in networks]
    each = np.zeros((len(networks), env.num_envs))
    for weight, score in scores:
        values = np.stack([score(batch) for batch in batches])
        each += weight * values / max(float(values.std()), 1e-12)
    found = [float(value) for value in each.mean(1)]
    blocks, allowed = batch_blocks(env, seed), np.ones(len(found), dtype=bool)
    if keep is not None:
        profit = np.stack([batch.net_return for batch in batches])
        allowed = kept(profit - profit[0], keep, blocks)
    best = max(np.flatnonzero(allowed).tolist(), key=lambda i: (found[i], i))
    if cautious:
        gain = means(each[best] - each[0], blocks)
        best = best if gain.value[0] > math.sqrt(float(gain.covariance[0, 0])) else 0
    return best, found


def trading_metrics(env: MarketEnv, actor: Actor, seed: int) -> dict[str, float]:
    """How an actor trades one episode per environment, on random windows of its market.

    Returns:
        means over the episodes, how many `windows` they are, and how many of these share no bar
        with each other, whatever their asset: `independent_windows`.

    """
    paths = episode_batch(env, actor, seed)
    returns = paths.net_return
    return {
        "mean_return": float(returns.mean()),
        "mean_max_drawdown": float(paths.drawdown.max(axis=-1).mean()),
        "mean_turnover": float(paths.turnover.sum(axis=-1).mean()),
        "mean_exposure": float(np.abs(paths.position).mean()),
        "win_rate": float((returns > 0).mean()),
        "windows": env.num_envs,
        "independent_windows": batch_blocks(env, seed).independent,
    }


def batch_of(run: Mapping[str, Tensor]) -> EpisodeBatch:
    """What `run_actor` recorded, as an `EpisodeBatch`."""
    close = torch.cat([run["first_close"][None], run["close"]])
    equity = torch.cat([torch.ones_like(run["equity"][:1]), run["equity"]])
    arrays = {"close": close, "position": run["position"], "equity": equity}
    arrays |= {name: run[name] for name in ("turnover", "costs", "weights", "gains") if name in run}
    return EpisodeBatch(**{k: a.transpose(0, 1).double().cpu().numpy() for k, a in arrays.items()})


def distinct_columns(row: Sequence[Episode]) -> list[int]:
    """Columns whose episodes differ in what was traded."""
    seen: dict[bytes, int] = {}
    for index, episode in enumerate(row):
        seen.setdefault(episode.position.tobytes() + episode.equity.tobytes(), index)
    return sorted(seen.values())


def pool_actors(
    market: MarketData,
    config: EnvConfig,
    seed: int,
    policies: Sequence[Actor] = (),
    bases: Floats | None = None,
) -> list[Actor]:
    """A diverse pool: constant positions, chance at three paces, every rule, then `policies`.

    Of portfolios, books of few and of many names as well.
    Of an overlay also its bases [T, A, K], whole, half, and modulated at random.
    """
    levels = sorted({min(config.levels), 0.0, max(config.levels)})
    return [
        *(constant_actor(market, level) for level in levels),
        *(random_actor(market, config, seed + i, hold) for i, hold in enumerate((2, 6, 20))),
        *(_rule(name, market) for name in strategy_names()),
        *(book_actors(market, seed) if config.portfolio else ()),
        *([] if bases is None else modulated_actors(bases, seed)),
        *policies,
    ]


def book_actors(market: MarketData, seed: int) -> list[Actor]:
    """Portfolios of one, three and ten names, by chance and by cross-sectional momentum."""
    chance = [
        Actor(f"book_{names}", random_book(market, names, hold, seed + names), meta={"seed": seed})
        for names, hold in ((1, 20), (3, 20), (10, 6))
    ]
    return [*chance, *(Actor(f"momentum_{n}", momentum_book(market, n)) for n in (1, 3, 10))]


def modulated_actors(bases: Floats, seed: int) -> list[Actor]:
    """Bases [T, A, K] whole and half, and the first with parts of it left out at two paces."""
    found = []
    for k in range(bases.shape[2]):
        found += [Actor(f"base{k + 1}", bases[..., k]), Actor(f"half{k + 1}", 0.5 * bases[..., k])]
    for hold in (3.0, 12.0):
        rng = np.random.default_rng((seed, int(hold)))
        drawn = rng.choice([0.0, 0.5, 1.0], size=bases.shape[:2])
        switch = rng.random(drawn.shape) < 1.0 / hold
        switch[0] = True
        factor = held_targets(np.where(switch, drawn, np.nan))
        found.append(Actor(f"modulated_{hold:g}", factor * bases[..., 0], meta={"seed": seed}))
    return found

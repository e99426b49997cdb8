"""The loop: collect episodes, ask, learn what is valued, train, and ask again about the result."""

from __future__ import annotations

import dataclasses
import math
import time
import warnings
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tradinghf.collect import (
    Actor,
    collect,
    distinct_columns,
    episode_batch,
    pool_actors,
    random_windows,
)
from tradinghf.config import Randomisation
from tradinghf.episodes import Episode
from tradinghf.errors import FeedbackError, check_setting
from tradinghf.feedback.queries import Group, choose_groups
from tradinghf.feedback.store import Store
from tradinghf.feedback.traders import SyntheticTrader
from tradinghf.feedback.types import Query, Ranking
from tradinghf.learning.checkpoints import RunDirectory
from tradinghf.learning.config import PPOConfig
from tradinghf.learning.held_out import cross_validate, predicted_pairs, summarise
from tradinghf.learning.policy import ActorCritic, Policy
from tradinghf.learning.ppo import PPO, Metrics, Stream
from tradinghf.learning.reward_model import RewardModel
from tradinghf.learning.streams import learned_stream, sparse_pnl
from tradinghf.market.data import MarketData
from tradinghf.simulation.env import MarketEnv

Progress = Callable[[str, int, int, Metrics], None]
ALARM_PAIRS = 10


class Answers(Protocol):
    """Whoever answers queries: a synthetic trader, or people through the store."""

    label: str

    def rank(self, episodes: Sequence[Episode], query: str, session: str = "") -> Ranking:
        """One answer."""


@dataclass(frozen=True)
class RLHFConfig:
    """The loop.

    Attributes:
        rankings: questions asked in all.
        rounds: times that the loop asks; the policy trains in between.
        size: episodes per question K.
        steps: environment steps of PPO in all.
        windows: market windows collected per round.
        uniform: share of the questions that are drawn at random.
        pnl_weight: weight of the sparse PnL stream; the learned stream's is 1.
        alarm: warn when fewer fresh comparisons than this share are foreseen.
        checkpoint_seconds: time between checkpoints while the policy trains [seconds].
        ppo: settings of PPO.
        seed: of everything random.

    """

    rankings: int = 50
    rounds: int = 4
    size: int = 5
    steps: int = 2_400_000
    windows: int = 48
    uniform: float = 0.2
    pnl_weight: float = 0.3
    alarm: float = 0.6
    checkpoint_seconds: float = 10.0
    ppo: PPOConfig = field(default_factory=PPOConfig)
    seed: int = 0

    def __post_init__(self) -> None:
        check_setting(self.rankings >= 1, "rankings", self.rankings, "at least 1")
        check_setting(self.rounds >= 1, "rounds", self.rounds, "at least 1")
        check_setting(2 <= self.size <= 6, "size", self.size, "2 to 6 episodes per question")
        check_setting(0 <= self.uniform <= 1, "uniform", self.uniform, "a share in [0, 1]")
        check_setting(self.pnl_weight >= 0, "pnl_weight", self.pnl_weight, "at least 0")


class RLHF:
    """Trains a policy from rankings and sparse PnL.

    Example:
        >>> env = MarketEnv(load_market("synthetic"), num_envs=512)      # doctest: +SKIP
        >>> agent = RLHF(env, RewardModel(), trader="drawdown")          # doctest: +SKIP
        >>> agent.train(rankings=50)                                     # doctest: +SKIP
        >>> agent.evaluate()                                             # doctest: +SKIP

    Args:
        env: training environment; episodes of its horizon are what is ranked.
        reward_model: learns from the rankings; anything with its methods `fit`, `rewards`,
            `member_scores`, `predict_pairs`.
        agent: the learner; made from the environment when not given.
        trader: who answers: a synthetic trader, its name, or `FILE.py:function`; None uses the
            rankings that people have left in the store.
        store: where episodes, queries and rankings are kept; in memory when not given.
        test_market: unseen bars for `evaluate`.
        config: the loop's settings.
        out: run directory; nothing is written when not given.
        progress: called with (phase, done, total, metrics).

    """

    def __init__(
        self,
        env: MarketEnv,
        reward_model: RewardModel | None = None,
        *,
        agent: PPO | None = None,
        trader: Answers | str | None = None,
        store: Store | None = None,
        test_market: MarketData | None = None,
        config: RLHFConfig | None = None,
        out: Path | str | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.env = env
        self.config = config or RLHFConfig()
        self.reward_model = reward_model or RewardModel()
        self.trader = (
            SyntheticTrader(trader, seed=self.config.seed) if isinstance(trader, str) else trader
        )
        self.store = store
        self.test_market = test_market
        self.run = RunDirectory(out) if out is not None else None
        self.progress = progress or (lambda *_: None)
        self.episodes: dict[str, Episode] = {}
        self.rankings: list[Ranking] = []
        self.snapshots: list[ActorCritic] = []
        self.history: list[dict[str, Any]] = []
        self.asked = self.round = 0
        self._saved = time.monotonic()
        self.agent = agent or PPO(
            env,
            {
                "learned": Stream(learned_stream(self.reward_model), 1.0),
                "pnl": Stream(sparse_pnl, self.config.pnl_weight),
            },
            config=self.config.ppo,
            seed=self.config.seed,
        )

    @property
    def policy(self) -> Policy:
        """The present policy; trades anywhere (`backtest(agent.policy, market)`)."""
        network = self.agent.network
        assert network is not None
        return Policy(network, self.env.config, self.env.scaler, "rlhf")

    def train(self, **settings: Any) -> RLHF:
        """Run the loop; keyword arguments override `RLHFConfig` (rankings=50, steps=...).

        Raises:
            FeedbackError: nobody answers: there is neither a trader nor a ranking in the store.

        """
        self.config = dataclasses.replace(self.config, **settings)
        config = self.config
        iterations = max(math.ceil(config.steps / self.agent.steps_per_iteration), config.rounds)
        shares = [round(config.rankings * (r + 1) / config.rounds) for r in range(config.rounds)]
        stops = [round(iterations * (r + 1) / config.rounds) for r in range(config.rounds)]
        for round_ in range(self.round, config.rounds):
            if self.asked == round_:
                self.ask(shares[round_] - (shares[round_ - 1] if round_ else 0), round_)
                self.asked = round_ + 1
            self._learn()
            self.agent.train(
                stops[round_] - self.agent.iteration, total=iterations, after=self._after
            )
            self.snapshots.append(_frozen(self.agent.network))
            self.round = round_ + 1
            self.checkpoint()
        return self

    def ask(self, count: int, round_: int) -> list[Ranking]:
        """Collect a pool, choose `count` questions, and record the answers."""
        if self.trader is None:
            return self._from_store()
        queries = self.propose(count, round_)
        answers = []
        for index, query in enumerate(queries):
            self.progress("rank", index + 1, len(queries), {})
            shown = [self.episodes[name] for name in query.episodes]
            answers.append(self.trader.rank(shown, query.id, session=f"round-{round_}"))
        self._foresee(answers, queries, round_)
        self.rankings.extend(answers)
        if self.store is not None:
            for answer in answers:
                self.store.submit(answer)
        return answers

    def propose(self, count: int, round_: int = 0) -> list[Query]:
        """Collect a pool of episodes and choose `count` questions; they join the store's queue."""
        seed = self.config.seed * 1_000_003 + round_
        rng = np.random.default_rng(seed)
        actors, policies = self._actors(seed)
        windows = random_windows(self.env.market, self.env.config, self.config.windows, seed)
        self.progress("collect", len(actors), len(actors), {})
        pool_env = self._env(self.env.market, len(windows))
        pool = collect(self.env.market, actors, windows, env=pool_env, seed=seed)
        groups = self._choose(pool, policies, count, rng)
        queries = [self._query(pool, group, round_) for group in groups]
        if self.store is not None:
            self.store.add_queries(queries)
        return queries

    def _actors(self, seed: int) -> tuple[list[Actor], list[int]]:
        """Who trades the pool: rules, chance, the policy and its past; the latter's columns."""
        own: list[Actor] = []
        if self.agent.iteration:
            for age, network in enumerate([self.agent.network, *self.snapshots[-3:-1]]):
                for explore in (0.0, 0.15, 1.0) if age == 0 else (0.0,):
                    name = f"policy:{self.agent.iteration}-{age}-{explore:g}"
                    own.append(Actor(name, policy=network, explore=explore))
        actors = pool_actors(self.env.market, self.env.config, seed, own)
        return actors, list(range(len(actors) - len(own), len(actors)))

    def _choose(
        self,
        pool: list[list[Episode]],
        policies: Sequence[int],
        count: int,
        rng: np.random.Generator,
    ) -> list[Group]:
        distinct = [distinct_columns(row) for row in pool]
        scores = None
        if self.reward_model.fitted:
            flat = [episode for row in pool for episode in row]
            worth = self.reward_model.member_scores(flat) * self.reward_model.temperature
            scores = worth.unflatten(1, (len(pool), len(pool[0])))
        return choose_groups(
            scores,
            distinct,
            count,
            size=self.config.size,
            uniform=self.config.uniform,
            rng=rng,
            keep=policies,
        )

    def _query(self, pool: list[list[Episode]], group: Group, round_: int) -> Query:
        shown = [pool[group.window][member] for member in group.members]
        self.episodes.update({episode.id: episode for episode in shown})
        if self.store is not None:
            self.store.add_episodes(shown)
        purpose = "test" if group.uniform else "learn"
        return Query.of([episode.id for episode in shown], purpose=purpose, round=round_)  # type: ignore[arg-type]

    def _foresee(self, answers: Sequence[Ranking], queries: Sequence[Query], round_: int) -> None:
        """Before learning from this round's random questions: how well were they foreseen?"""
        fresh = [a for a, q in zip(answers, queries, strict=True) if q.purpose == "test"]
        fresh = [a for a in fresh if a.outcome == "ranked"]
        if not (self.reward_model.fitted and fresh):
            return
        probabilities, outcomes, _ = predicted_pairs(self.reward_model, fresh, self.episodes)
        accuracy = float((probabilities.argmax(1) == outcomes).mean())
        self.history.append({"round": round_, "foreseen": accuracy, "pairs": len(outcomes)})
        if accuracy < self.config.alarm and len(outcomes) >= ALARM_PAIRS:
            warnings.warn(
                f"The reward model foresaw only {accuracy:.0%} of {len(outcomes)} fresh "
                "comparisons: it may not describe this trader, or the answers contradict each "
                "other. Rank more, or look at `tradinghf reward show`.",
                stacklevel=3,
            )

    def checkpoint(self) -> None:
        """Write everything that `resume` needs; nothing without a run directory."""
        if self.run is None:
            return
        state = {
            "asked": self.asked,
            "round": self.round,
            "history": self.history,
            "agent": self.agent.state(),
            "snapshots": [network.state_dict() for network in self.snapshots],
        }
        self.run.save(self.agent.iteration, state)

    def resume(self) -> bool:
        """Continue from the newest good checkpoint of the run directory; False when there is none.

        Answers are read back from the store, so a resumed loop needs the store it started with.
        """
        found = self.run.latest() if self.run is not None else None
        if found is None or self.run is None:
            return False
        _, state = found
        self.asked, self.round = int(state["asked"]), int(state["round"])
        self.history = list(state["history"])
        self.agent.restore(state["agent"])
        for weights in state["snapshots"]:
            network = _frozen(self.agent.network)
            network.load_state_dict(weights)
            self.snapshots.append(network)
        self.run.trim_metrics(self.agent.iteration * self.agent.steps_per_iteration)
        if self.trader is not None and self.store is not None:
            earlier = {q.id for q in self.store.queries() if q.round < self.asked}
            self._from_store(earlier)
        return True

    def _from_store(self, queries: Collection[str] | None = None) -> list[Ranking]:
        if self.store is None:
            raise FeedbackError(
                "RLHF has neither a trader nor a store with rankings; give trader=... or store=..."
            )
        self.rankings = [r for r in self.store.rankings() if queries is None or r.query in queries]
        names = {name for ranking in self.rankings for name in ranking.episodes}
        self.episodes = {name: self.store.episode(name) for name in names}
        return self.rankings

    def _learn(self) -> None:
        self.reward_model.fit(self.rankings, self.episodes)
        if self.run is not None:
            self.run.write_json("reward.json", self.reward_model.to_dict())

    def _after(self, agent: PPO, metrics: Metrics) -> None:
        self.progress("train", int(metrics["step"]), self.config.steps, metrics)
        if self.run is not None:
            self.run.log(metrics)
            now = time.monotonic()
            if now - self._saved > self.config.checkpoint_seconds:
                self.checkpoint()
                self._saved = now

    def _env(self, market: MarketData, count: int) -> MarketEnv:
        """Like the training environment, without its domain randomisation."""
        return MarketEnv(
            market,
            num_envs=count,
            config=dataclasses.replace(self.env.config, randomise=Randomisation()),
            costs=self.env.costs,
            scaler=self.env.scaler,
            device=self.env.device,
        )

    def evaluate(self, *, rankings: int = 40, windows: int = 1024) -> dict[str, Any]:
        """How good is what was learned, on bars that training did not see?

        Args:
            rankings: fresh questions to the synthetic trader about unseen windows; people are
                not asked again, their rankings are cross-validated instead.
            windows: episodes for the policy's trading metrics.

        Returns:
            accuracy, precision, recall, f1 (and intervals) of the reward model on held-out
            rankings, and the policy's mean trading metrics per episode.

        """
        market = self.test_market or self.env.market
        result: dict[str, Any] = {"unseen_market": self.test_market is not None}
        if isinstance(self.trader, SyntheticTrader):
            fresh, episodes = self._fresh_rankings(market, rankings)
            result |= summarise(predicted_pairs(self.reward_model, fresh, episodes))
        else:
            result |= cross_validate(
                self.rankings, self.episodes, self.reward_model.config, seed=self.config.seed
            )
        own = Actor("policy", policy=self.agent.network)
        paths = episode_batch(self._env(market, windows), own, self.config.seed + 7)
        returns = paths.net_return
        result |= {
            "mean_return": float(returns.mean()),
            "mean_max_drawdown": float(paths.drawdown.max(axis=-1).mean()),
            "mean_turnover": float(paths.turnover.sum(axis=-1).mean()),
            "mean_exposure": float(np.abs(paths.position).mean()),
            "win_rate": float((returns > 0).mean()),
        }
        return result

    def _fresh_rankings(
        self, market: MarketData, count: int
    ) -> tuple[list[Ranking], dict[str, Episode]]:
        seed = self.config.seed * 1_000_003 + 999
        windows = random_windows(market, self.env.config, count, seed)
        own = [Actor("policy", policy=self.agent.network, explore=e) for e in (0.0, 0.15, 1.0)]
        actors = pool_actors(market, self.env.config, seed, own)
        pool = collect(market, actors, windows, env=self._env(market, len(windows)), seed=seed)
        rng = np.random.default_rng(seed)
        groups = choose_groups(
            None,
            [distinct_columns(row) for row in pool],
            count,
            size=self.config.size,
            uniform=1.0,
            rng=rng,
        )
        assert self.trader is not None
        answers, shown = [], {}
        for index, group in enumerate(groups):
            episodes = [pool[group.window][m] for m in group.members]
            shown.update({e.id: e for e in episodes})
            answers.append(self.trader.rank(episodes, f"fresh-{seed}-{index}"))
        return answers, shown


def _frozen(network: ActorCritic | None) -> ActorCritic:
    assert network is not None
    copy = ActorCritic(**{**network.shape, "hidden": tuple(network.shape["hidden"])})  # type: ignore[arg-type]
    copy.load_state_dict(network.state_dict())
    return copy.to(next(network.parameters()).device).requires_grad_(False)

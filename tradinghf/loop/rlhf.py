"""The loop: collect episodes, ask, learn what is valued, train, and ask again about the result."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tradinghf.episodes import Episode
from tradinghf.errors import FeedbackError
from tradinghf.feedback.store import Store
from tradinghf.feedback.traders import SyntheticTrader
from tradinghf.feedback.types import Purpose, Query, Ranking
from tradinghf.learning.config import RLHFConfig
from tradinghf.learning.policy.networks import ActorCritic, frozen
from tradinghf.learning.policy.saved import Policy
from tradinghf.learning.ppo.streams import learned_stream, sparse_pnl
from tradinghf.learning.ppo.trainer import PPO, Metrics, Stream
from tradinghf.learning.reward.answers import ended_by
from tradinghf.learning.reward.held_out import cross_validate, predicted_pairs, summarise
from tradinghf.learning.reward.model import RewardModel
from tradinghf.learning.reward.protocol import Reward
from tradinghf.learning.runs.checkpoints import RunDirectory, recall, understood
from tradinghf.learning.runs.scores import Scores
from tradinghf.learning.runs.stopping import asked, held, stop
from tradinghf.loop.alarm import Foreseen, best_by_reward, foresee, watch
from tradinghf.loop.collect import Actor, episode_batch
from tradinghf.loop.questions import Answers, ask, env_like, quiz
from tradinghf.market.data import MarketData
from tradinghf.simulation.env import MarketEnv

Progress = Callable[[str, int, int, Metrics], None]
ALARM_PAIRS = 10
EXPLORE = (0.0, 0.15, 1.0)  # the best action, some noise, the policy's own dice
LEARN: tuple[Purpose, ...] = ("learn", "repeat")
TEST: tuple[Purpose, ...] = ("test",)
QUARTERS = 4  # candidates that each round leaves behind
VALIDATION_EPISODES, WATCHED_EPISODES = 512, 256


class RLHF:
    """Trains a policy from rankings and sparse PnL.

    Example:
        >>> env = MarketEnv(load_market("synthetic"), num_envs=512)      # doctest: +SKIP
        >>> agent = RLHF(env, RewardModel(), trader="drawdown")          # doctest: +SKIP
        >>> agent.train(rankings=50)                                     # doctest: +SKIP
        >>> agent.evaluate()                                             # doctest: +SKIP

    Args:
        env: training environment; episodes of its horizon are what is ranked.
        reward_model: learns from the rankings; `RewardModel` when not given.
        agent: the learner; made from the environment when not given.
        trader: who answers: a synthetic trader, its name, or `FILE.py:function`; None uses the
            rankings that people have left in the store.
        store: where episodes, queries and rankings are kept; in memory when not given.
        validation_market: bars on which the reward model chooses among the policies that
            training passed through; None keeps the last one.
        test_market: unseen bars for `evaluate`.
        until: rankings in the store about episodes that end later are left out (walk-forward).
        config: the loop's settings.
        out: run directory; nothing is written when not given.
        progress: called with (phase, done, total, metrics).

    """

    def __init__(
        self,
        env: MarketEnv,
        reward_model: Reward | None = None,
        *,
        agent: PPO | None = None,
        trader: Answers | str | None = None,
        store: Store | None = None,
        validation_market: MarketData | None = None,
        test_market: MarketData | None = None,
        until: np.datetime64 | None = None,
        config: RLHFConfig | None = None,
        out: Path | str | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.env = env
        self.config = config or RLHFConfig()
        self.reward_model: Reward = reward_model or RewardModel()
        self.trader = (
            SyntheticTrader(trader, seed=self.config.seed) if isinstance(trader, str) else trader
        )
        self.store = store
        self.validation_market = validation_market
        self.test_market = test_market
        self.until = until
        self.chosen: dict[str, Any] = {}
        self.run = RunDirectory(out) if out is not None else None
        self.progress = progress or (lambda *_: None)
        self.episodes: dict[str, Episode] = {}
        self.rankings: list[Ranking] = []
        self.held_out: list[Ranking] = []
        self.snapshots: list[ActorCritic] = []
        self.marks: list[int] = []  # candidates there were when each round began
        self.history: list[dict[str, Any]] = []
        self.asked = self.round = self._candidate_at = 0
        self._saved = self._began = time.monotonic()
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
    def pnl_weight(self) -> float:
        """Weight of the sparse PnL stream: it carries what the rankings do not settle."""
        return self.config.pnl_weight * (1.0 - self.reward_model.explained) ** 2

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
            Stopped: a signal came within `stopping.stoppable`; a checkpoint was written.

        """
        self.config = dataclasses.replace(self.config, **settings)
        with self.run.lock() if self.run is not None else contextlib.nullcontext():
            if self.run and self.agent.iteration == 0:
                self.run.start_over()
            self._rounds()
            self._choose_policy()
        return self

    def _rounds(self) -> None:
        """Ask, learn, train; as often as the configuration says."""
        config = self.config
        iterations = max(math.ceil(config.steps / self.agent.steps_per_iteration), config.rounds)
        shares, stops = config.schedule(iterations)
        for round_ in range(self.round, config.rounds):
            if self.asked == round_:
                self.ask(shares[round_] - (shares[round_ - 1] if round_ else 0), round_)
                self.asked = round_ + 1
            self._learn()
            if len(self.marks) == round_:
                self.marks.append(len(self.snapshots))
            begin = stops[round_ - 1] if round_ else 0
            for quarter in range(1, QUARTERS + 1):
                self._candidate_at = begin + (stops[round_] - begin) * quarter // QUARTERS
                ahead = self._candidate_at - self.agent.iteration
                if ahead > 0:
                    with held():
                        self.agent.train(ahead, total=iterations, after=self._after)
                if self._gamed(at_end=quarter == QUARTERS):
                    break
            self.round = round_ + 1
            self.checkpoint()

    def _gamed(self, at_end: bool) -> bool:
        """Undo a round that games its reward; where nobody has answered, only warn at its end."""
        mark = self.marks[self.round]
        if not 0 < mark < len(self.snapshots):
            return False
        env = env_like(self.env, self.env.market, WATCHED_EPISODES)
        foreseen = [Foreseen(h["foreseen"], h["pairs"]) for h in self.history if "foreseen" in h]
        before, after = self.snapshots[mark - 1], self.snapshots[-1]
        found = watch(self.reward_model, env, before, after, foreseen, self.config.seed)
        if found.stop or (found.raised and at_end):
            text = f"{found.text} The round's training was undone." if found.stop else found.text
            self.history.append({"round": self.round, "alarm": text, "stopped": found.stop})
            warnings.warn(text, stacklevel=4)
        if found.stop and self.agent.network is not None:
            self.agent.network.load_state_dict(before.state_dict())
            del self.snapshots[mark:]
        return found.stop

    def _choose_policy(self) -> None:
        """Keep the policy whose rewards, weighed as in training, are best on validation bars."""
        if self.validation_market is None or self.agent.network is None:
            return
        env = env_like(self.env, self.validation_market, VALIDATION_EPISODES)
        best, scores = best_by_reward(
            self.reward_model, self.snapshots, env, self.pnl_weight, self.config.seed
        )
        self.agent.network.load_state_dict(self.snapshots[best].state_dict())
        self.chosen = {"candidate": best + 1, "of": len(scores), "validation_scores": scores}

    def ask(self, count: int, round_: int) -> list[Ranking]:
        """Collect episodes, choose `count` questions, and record the answers."""
        if self.trader is None:
            return self._from_store()
        if count < 1:
            return []
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
        """Choose `count` questions about new episodes; they join the store's queue."""
        own: list[Actor] = []
        if self.agent.iteration:
            earlier = self.snapshots[-1 - QUARTERS :: -QUARTERS][:2]
            for age, network in enumerate([self.agent.network, *earlier]):
                for explore in EXPLORE if age == 0 else (0.0,):
                    name = f"policy:{self.agent.iteration}-{age}-{explore:g}"
                    own.append(Actor(name, policy=network, explore=explore))
        self.progress("collect", 1, 1, {})
        questions = ask(
            self.env,
            own,
            count=count,
            windows=self.config.windows,
            size=self.config.size,
            uniform=self.config.uniform,
            seed=self.config.seed * 1_000_003 + round_,
            model=self.reward_model,
            round_=round_,
        )
        for question in questions:
            self.episodes.update({episode.id: episode for episode in question.episodes})
        if self.store is not None:
            self.store.add_episodes(e for question in questions for e in question.episodes)
            self.store.add_queries(question.query for question in questions)
        return [question.query for question in questions]

    def _foresee(self, answers: Sequence[Ranking], queries: Sequence[Query], round_: int) -> None:
        """Before learning from this round's random questions: how well were they foreseen?"""
        fresh = [a for a, q in zip(answers, queries, strict=True) if q.purpose == "test"]
        fresh = [a for a in fresh if a.outcome == "ranked"]
        if not (self.reward_model.fitted and fresh):
            return
        found = foresee(self.reward_model, fresh, self.episodes)
        self.history.append({"round": round_, "foreseen": found.share, "pairs": found.pairs})
        if found.share < self.config.alarm and found.pairs >= ALARM_PAIRS:
            warnings.warn(found.text, stacklevel=3)

    def checkpoint(self) -> None:
        """Write everything that `resume` needs; nothing without a run directory."""
        if self.run is None:
            return
        state = {
            "asked": self.asked,
            "round": self.round,
            "history": self.history,
            "answers": [ranking.key for ranking in self.rankings],
            "held_out": [ranking.key for ranking in self.held_out],
            "agent": self.agent.state(),
            "marks": self.marks,
            "snapshots": [network.state_dict() for network in self.snapshots],
        }
        self.run.save(self.agent.iteration, state)

    def resume(self) -> bool:
        """Continue from the newest good checkpoint of the run directory; False when there is none.

        Answers are read back from the store, so a resumed loop needs the store it started with.

        Raises:
            CheckpointError: another process writes to the run, the checkpoint is of another task
                or version, or the store lacks the answers.

        """
        if self.run is None:
            return False
        with self.run.lock():
            found = self.run.latest()
            if found is None:
                return False
            with understood(f"{self.run.path}, checkpoint {found[0]}"):
                self._continue(found[1])
            self.run.trim_metrics(self.agent.iteration * self.agent.steps_per_iteration)
        return True

    def _continue(self, state: dict[str, Any]) -> None:
        self.asked, self.round = int(state["asked"]), int(state["round"])
        self.history, self.marks = list(state["history"]), list(state["marks"])
        self.agent.restore(state["agent"])
        for weights in state["snapshots"]:
            network = frozen(self.agent.network)
            network.load_state_dict(weights)
            self.snapshots.append(network)
        self.rankings = recall(self.store, state["answers"])
        self.held_out = recall(self.store, state["held_out"])
        self._load_episodes()
        if self.asked == self.round and self.rankings:
            # The next questions are chosen by what the round before had learned.
            self.reward_model.fit(self.rankings, self.episodes)

    def _load_episodes(self) -> None:
        names = {name for r in (*self.rankings, *self.held_out) for name in r.episodes}
        self.episodes = {name: self.store.episode(name) for name in names} if self.store else {}

    def _from_store(self) -> list[Ranking]:
        """Answers of people, those to "test" questions held out."""
        if self.store is None:
            raise FeedbackError(
                "RLHF has neither a trader nor a store with rankings; give trader=... or store=..."
            )
        self.rankings = self.store.rankings(purposes=LEARN)
        self.held_out = self.store.rankings(purposes=TEST)
        self._load_episodes()
        if self.until is not None:
            self.rankings = ended_by(self.rankings, self.episodes, self.until, needed=True)
            self.held_out = ended_by(self.held_out, self.episodes, self.until)
        return self.rankings

    def _learn(self) -> None:
        self.reward_model.fit(self.rankings, self.episodes)
        if "pnl" in self.agent.streams:
            self.agent.weigh("pnl", self.pnl_weight)
        if self.run is not None:
            found = self.reward_model.to_dict()
            if any(r.outcome == "ranked" for r in self.held_out):
                found["held_out"] = self._on_held_out()
            self.run.write_json("reward.json", found)

    def _on_held_out(self) -> dict[str, Any]:
        return summarise(predicted_pairs(self.reward_model, self.held_out, self.episodes))

    def _after(self, agent: PPO, metrics: Metrics) -> None:
        now = time.monotonic()
        metrics["steps_per_s"] = self.agent.steps_per_iteration / max(now - self._began, 1e-9)
        self._began = now
        self.progress("train", int(metrics["step"]), self.config.steps, metrics)
        if agent.iteration == self._candidate_at:
            # Before the checkpoint, which would otherwise lack it for good.
            self.snapshots.append(frozen(agent.network))
        if self.run is not None:
            self.run.log(metrics)
            if asked() or now - self._saved > self.config.checkpoint_seconds:
                self.checkpoint()
                self._saved = now
        if asked():
            stop(agent.iteration, self.run)

    def evaluate(self, *, rankings: int = 40, windows: int = 1024) -> dict[str, Any]:
        """How good is what was learned, on bars that training did not see?

        Args:
            rankings: fresh questions to the synthetic trader about unseen windows. People are
                not asked again: their answers to "test" questions, which nothing is learned from,
                are predicted; without any, their rankings are cross-validated.
            windows: episodes for the policy's trading metrics.

        Returns:
            accuracy, precision, recall, f1 (and intervals) of the reward model on held-out
            rankings, and the policy's mean trading metrics per episode.

        """
        market = self.test_market or self.env.market
        result: dict[str, Any] = {"unseen_market": self.test_market is not None}
        if isinstance(self.trader, SyntheticTrader):
            fresh, episodes = quiz(
                env_like(self.env, market, 1),
                [Actor("policy", policy=self.agent.network, explore=e) for e in EXPLORE],
                self.trader.rank,
                count=rankings,
                size=self.config.size,
                seed=self.config.seed * 1_000_003 + 999,
            )
            result |= summarise(predicted_pairs(self.reward_model, fresh, episodes))
        elif any(r.outcome == "ranked" for r in self.held_out):
            result |= self._on_held_out()
        else:
            result |= cross_validate(
                self.rankings, self.episodes, self.reward_model, seed=self.config.seed
            )
        own = Actor("policy", policy=self.agent.network)
        paths = episode_batch(env_like(self.env, market, windows), own, self.config.seed + 7)
        returns = paths.net_return
        result |= {
            "mean_return": float(returns.mean()),
            "mean_max_drawdown": float(paths.drawdown.max(axis=-1).mean()),
            "mean_turnover": float(paths.turnover.sum(axis=-1).mean()),
            "mean_exposure": float(np.abs(paths.position).mean()),
            "win_rate": float((returns > 0).mean()),
        }
        return Scores(result)

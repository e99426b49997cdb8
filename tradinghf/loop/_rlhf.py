"""The loop: collect episodes, ask, learn what is valued, train, and ask again about the result."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from tradinghf.config import settings_of
from tradinghf.episodes import Episode
from tradinghf.errors import ConfigError, FeedbackError
from tradinghf.feedback import Query, Ranking, SyntheticTrader
from tradinghf.feedback.store import Store
from tradinghf.learning.config import RLHFConfig
from tradinghf.learning.policy import Policy
from tradinghf.learning.ppo import Callback
from tradinghf.learning.reward import Reward, ended_by, predicted_pairs, summarise, watching
from tradinghf.learning.runs import RunDirectory, Scores, State, recall
from tradinghf.loop._collect import Actor, Progress, env_like, trading_metrics
from tradinghf.loop._demonstrations import begin_as_demonstrated
from tradinghf.loop._gaming import Foreseen, compare_policies, foresee, training_scores
from tradinghf.loop._gated import Gated, bars_of
from tradinghf.loop._learner import answering, learner, market_env_of, reward_of
from tradinghf.loop._paired import Contender
from tradinghf.loop._plan import RoundPlan, schedule_changes
from tradinghf.loop._questions import Answers, ask, held_out_scores, own_actors, quiz_scores
from tradinghf.loop._task import blank, is_task, task_loop
from tradinghf.loop._training import Training
from tradinghf.market import MarketLike

_FEWEST_PAIRS = 10  # fresh comparisons before a low share of foreseen ones is worth a warning
_ABOUT_ASKING = {"early", "rounds", "size", "uniform", "windows"}  # may change between rounds
_CANDIDATES = 4  # networks kept of each round, at equal distances


class RLHF(Gated):
    """Trains a policy from rankings and sparse PnL.

    Example:
        >>> env = MarketEnv(load_market("synthetic"), num_envs=512)      # doctest: +SKIP
        >>> agent = RLHF(env, RewardModel(), trader="drawdown")          # doctest: +SKIP
        >>> agent.train(rankings=50)                                     # doctest: +SKIP

    Args:
        env: `MarketEnv`, or what `gymnasium.make_vec` made of ours, whose episodes are ranked; its
            own reward pays too (`RLHFConfig.env_weight`). Any other makes this a `TaskRLHF`.
        reward_model: learns from the rankings; `RewardModel` when not given. A `torch.nn.Module`
            from facts of bars [B, L, 8] to [B, L] is trained as `PlainReward` is.
        agent: the learner: `PPO` of ours, made from the environment when not given, or an agent of
            another library (`tradinghf.learning.tasks.Agent`), paid the same rewards.
        trader: who answers: a synthetic trader, its name, or `FILE.py:function`; None: the store.
        store: where episodes, queries and rankings are kept, or its folder; in memory when not
            given.
        validation_market: bars on which the policy is chosen; None keeps the last one.
        test_market: unseen bars for `evaluate`.
        until: rankings in the store about episodes that end later are left out (walk-forward).
        config: the loop's settings.
        out: run directory; nothing is written when not given.
        progress: called with (phase, done, total, metrics).
        callbacks: of the learner, see `PPO`; the loop then ends with the policy as it is.
        safe: end `train` with `gate`; needs a test market.
        baseline: trades now; `deployed` unless the gate lets the policy through.
        look: called before the test market is first looked at.

    """

    def __new__(cls, env: Any = None, *rest: Any, **options: Any) -> Any:
        return task_loop(env, *rest, **options) if is_task(env) else blank(cls, options)

    def __init__(
        self,
        env: Any,
        reward_model: Reward | nn.Module | None = None,
        *,
        agent: Any = None,
        trader: Answers | str | None = None,
        store: Store | Path | str | None = None,
        validation_market: MarketLike | None = None,
        test_market: MarketLike | None = None,
        until: np.datetime64 | None = None,
        config: RLHFConfig | None = None,
        out: Path | str | None = None,
        progress: Progress | None = None,
        callbacks: Sequence[Callback] = (),
        safe: bool = False,
        baseline: Contender | str = "buy_and_hold",
        look: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(test_market, baseline, look)
        self.env = market_env_of(env)
        self.config = settings_of(RLHFConfig, config, "config")
        self.reward_model = reward_of(reward_model, self.env.config.horizon)
        self.trader = answering(trader, self.config.seed)
        self.store = Store(store) if isinstance(store, str | Path) else store
        self.validation_market = bars_of(validation_market)
        self.until, self.safe = until, safe
        self.run = RunDirectory(out) if out is not None else None
        self.progress = progress or (lambda *_: None)
        self.episodes: dict[str, Episode] = {}
        self.rankings: list[Ranking] = []
        self.held_out: list[Ranking] = []
        self.history: list[dict[str, Any]] = []
        self.plan, self.round = RoundPlan(), 0  # what to do; rounds done
        self._answered = False  # whether the questions of the present round are
        self._trained = False  # whether `train` has ended once
        self.agent = learner(self.env, self.reward_model, self.config, agent)
        self.agent.callbacks += callbacks
        self.training = Training(
            self.agent,
            run=self.run,
            progress=lambda *now: self.progress(*now),
            checkpoint_seconds=self.config.checkpoint_seconds,
            owner_state=self._state,
            restore_owner=self._restore,
        )

    @property
    def pnl_weight(self) -> float:
        """Weight of the sparse PnL stream: it carries what the rankings do not settle."""
        return self.config.pnl_weight * (1.0 - self.reward_model.explained) ** 4

    @property
    def policy(self) -> Policy:
        """The present policy; trades anywhere (`backtest(agent.policy, market)`)."""
        return Policy.trained(self.training.network, self.env, "rlhf", self.validation_market)

    def train(
        self, *, rankings: int | None = None, steps: int | None = None, **others: Any
    ) -> RLHF:
        """Run the loop until its budgets are used; called again, with larger ones, it goes on.

        A stopped or resumed training finishes its rounds first; larger budgets add rounds. With
        constant rates and one round (`RLHFConfig(rounds=1)`), more steps give the weights of one
        longer call. Elsewhere a warning says so, or rankings are asked for later than in one call.

        Args:
            rankings: questions in all, those of earlier calls included; default: the
                configuration's. People's answers in the store are all read instead.
            steps: environment steps in all; default: the configuration's. Where a later call
                has only more rankings, steps grow in proportion.
            others: settings of `RLHFConfig` about asking (rounds, size, windows, uniform, early),
                from now on; what the learner was made with is the constructor's.

        Raises:
            ConfigError: another setting, or more rankings without steps to train on them.
            FeedbackError: nobody answers: there is neither a trader nor a ranking in the store.
            Stopped: a signal came within `stoppable`; a checkpoint was written.

        """
        if unknown := sorted(set(others) - _ABOUT_ASKING):
            raise ConfigError(
                f"RLHF.train() takes rankings, steps and {', '.join(sorted(_ABOUT_ASKING))}; "
                f"{', '.join(unknown)} must be known before. "
                "Give it to the constructor: RLHF(env, ..., config=RLHFConfig(...))."
            )
        self.config = dataclasses.replace(self.config, **others)
        with self.training.writing():
            went_on = self._run_rounds()
            if self._extend(rankings, steps, read_store=not went_on):
                went_on = self._run_rounds()
            if went_on or not self._trained:
                self.choose(keep=self.config.keep)
            else:
                warnings.warn(
                    f"RLHF.train() has nothing left to do: {len(self.rankings)} rankings were "
                    f"learned from in {self.training.steps:,} steps. To go on, give a larger "
                    "budget (rankings=..., steps=...), which counts from the beginning.",
                    stacklevel=2,
                )
            self._trained = True
        if self.safe:
            self.gate()
        return self

    def choose(self, *, keep: float | None = None) -> None:
        """Take the candidate whose rewards, weighed as in training, are best on validation bars."""
        if self.validation_market is not None:
            scores = training_scores(self.reward_model, self.pnl_weight)
            self.training.choose(self.validation_market, scores, self.config.seed, keep=keep)

    def _extend(self, rankings: int | None, steps: int | None, *, read_store: bool) -> bool:
        """Plan rounds for what the budgets have beyond those planned; False if nothing is new."""
        plan, each = self.plan, self.agent.steps_per_iteration
        questions = self.config.rankings if rankings is None else rankings
        if self.trader is None and plan.rounds:
            known = {ranking.key for ranking in (*self.rankings, *self.held_out)}
            if read_store:
                self._from_store()
            known_now = known.union(r.key for r in (*self.rankings, *self.held_out))
            plan.questions, questions = len(known), len(known_now)
        before, grown = plan.steps, bool(plan.rounds) and questions > plan.questions
        if steps is None:
            scales = grown and (rankings is not None or self.trader is None)
            steps = plan.steps_for(questions, each) if scales else self.config.steps
        config = dataclasses.replace(self.config, rankings=questions, steps=steps)
        if not plan.extend(config, each, asks=self.trader is not None):
            return False
        if before and (text := schedule_changes(self.agent.config, before, plan.steps)):
            warnings.warn(text, stacklevel=3)
        return True

    def _run_rounds(self) -> bool:
        """Run the rounds that are planned and not done; False where there are none."""
        begun = self.round
        while self.round < len(self.plan.rounds):
            self._run_round()
        return self.round > begun

    def _run_round(self) -> None:
        """Ask, learn, train, and leave candidates behind; undo what games the reward."""
        questions, begin, end = self.plan.part(self.round)
        if not self._answered:
            self.ask(questions, self.round)
            self._answered = True
        self._learn()
        self.history += begin_as_demonstrated(
            self.agent, self.env, self.store, self.until, self.config
        )
        self.training.mark()
        for part in range(1, _CANDIDATES + 1):
            stop = begin + (end - begin) * part // _CANDIDATES
            self.training.train_to(stop, self.plan.iterations, (stop,))
            if self._undo_gaming(at_end=part == _CANDIDATES):
                break
        self.training.forget_mark()
        self.round, self._answered = self.round + 1, False
        self.checkpoint()

    def _undo_gaming(self, at_end: bool) -> bool:
        """Undo a round that games its reward; where nobody has answered, only warn at its end."""
        policies = self.training.before_and_now
        if policies is None:
            return False
        foreseen = [Foreseen(h["foreseen"], h["pairs"]) for h in self.history if "foreseen" in h]
        found = compare_policies(self.reward_model, self.env, *policies, foreseen, self.config.seed)
        if not (found.stop or (found.suspected and at_end)):
            return False
        text = found.text + " The round's training was undone." * found.stop
        self.history.append({"round": self.round, "gaming": text, "stopped": found.stop})
        warnings.warn(text, stacklevel=5)
        if found.stop:
            self.training.undo()
        return found.stop

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
        earlier = self.training.candidates[-1 - _CANDIDATES :: -_CANDIDATES][:2]
        step = self.agent.iteration
        # People compare the policies of several runs: each has its run's name.
        name = self.run.path.name if self.trader is None and self.run is not None else step
        own = own_actors(name, self.agent.network, earlier) if step else []
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
        if found.share < self.config.least_foreseen and found.pairs >= _FEWEST_PAIRS:
            warnings.warn(found.text, stacklevel=3)

    def checkpoint(self) -> None:
        """Write everything that `resume` needs; nothing without a run directory."""
        self.training.checkpoint()

    def resume(self) -> bool:
        """Continue from the newest good checkpoint of the run directory; False when there is none.

        Answers are read back from the store, so a resumed loop needs the store it started with.

        Raises:
            CheckpointError: another process writes to the run, the checkpoint is of another task
                or version, or the store lacks the answers.

        """
        return self.training.resume()

    def _state(self) -> State:
        return {
            "round": self.round,
            "answered": self._answered,
            "plan": dataclasses.asdict(self.plan),
            "history": self.history,
            "answers": [ranking.key for ranking in self.rankings],
            "held_out": [ranking.key for ranking in self.held_out],
        }

    def _restore(self, state: State) -> None:
        self.round, self._answered = int(state["round"]), bool(state["answered"])
        self.plan = RoundPlan.of(state["plan"])
        self.history, self._trained = list(state["history"]), False
        self.rankings = recall(self.store, state["answers"])
        self.held_out = recall(self.store, state["held_out"])
        self._load_episodes()
        if not self._answered and self.rankings:
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
        self.rankings = self.store.rankings(purposes=["learn", "repeat"])
        self.held_out = self.store.rankings(purposes=["test"])
        self._load_episodes()
        if self.until is not None:
            self.rankings = ended_by(self.rankings, self.episodes, self.until, needed=True)
            self.held_out = ended_by(self.held_out, self.episodes, self.until)
        return self.rankings

    def _learn(self) -> None:
        with watching(lambda done, total: self.progress("fit", done, total, {})):
            self.reward_model.fit(self.rankings, self.episodes)
        if "pnl" in self.agent.streams:
            self.agent.weigh("pnl", self.pnl_weight)
        if self.run is not None:
            found = self.reward_model.to_dict()
            if any(r.outcome == "ranked" for r in self.held_out):
                pairs = predicted_pairs(self.reward_model, self.held_out, self.episodes)
                found["held_out"] = summarise(pairs)
            self.run.write_json("reward.json", found)

    def evaluate(self, *, rankings: int = 40, windows: int = 1024) -> dict[str, Any]:
        """How good is what was learned, on bars that training did not see?

        Args:
            rankings: fresh questions to the synthetic trader about unseen windows. People are
                not asked again: their answers to "test" questions, which nothing is learned from,
                are predicted; without any, their rankings are cross-validated if they can be.
            windows: episodes for the policy's trading metrics.

        Returns:
            accuracy, precision, recall, f1 (and intervals) of the reward model on held-out
            rankings, and the policy's mean trading metrics per episode, from `windows` of which
            `independent_windows` share no bar with each other, whatever their asset.

        """
        self.open_test_bars()
        market = self.test_market or self.env.market
        result: dict[str, Any] = {"unseen_market": self.test_market is not None}
        if isinstance(self.trader, SyntheticTrader):
            one, rank = env_like(self.env, market, 1), self.trader.rank
            about = (self.reward_model, self.training.network, one, rank, rankings)
            result |= quiz_scores(*about, self.config.size, self.config.seed * 1_000_003 + 999)
        else:
            kept = (self.rankings, self.held_out, self.episodes)
            result |= held_out_scores(self.reward_model, *kept)
        own = Actor("policy", policy=self.training.network)
        unseen = env_like(self.env, market, windows)
        return Scores(result | trading_metrics(unseen, own, self.config.seed + 7))

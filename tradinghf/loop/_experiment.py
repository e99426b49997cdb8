"""One whole experiment: train from a hidden trader's rankings, and judge the result honestly.

    S = (U(policy) - U(random)) / (U(PPO on the true utility) - U(random))
    G = (U(policy) - U(PPO on PnL)) / (U(PPO on the true utility) - U(PPO on PnL))

U is the trader's mean true utility over episodes of unseen bars. Every agent gets the same
environment steps.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tradinghf.config import CostModel, EnvConfig, Randomisation, to_dict
from tradinghf.errors import ConfigError, check_memory, check_setting
from tradinghf.feedback import SyntheticTrader
from tradinghf.feedback.store import Store
from tradinghf.learning.config import RewardConfig, RLHFConfig
from tradinghf.learning.policy import Policy
from tradinghf.learning.ppo import RewardStream, sparse_pnl, utility_stream
from tradinghf.learning.reward import RewardModel
from tradinghf.learning.runs import RunDirectory, torch_settings
from tradinghf.loop._attained import attained, preferred
from tradinghf.loop._baselines import train_baseline
from tradinghf.loop._collect import (
    Actor,
    EpisodeScore,
    Progress,
    batch_blocks,
    env_like,
    episode_batch,
    random_actor,
)
from tradinghf.loop._portfolio import as_portfolio
from tradinghf.loop._rlhf import RLHF
from tradinghf.loop._same_run import record_settings
from tradinghf.market import MarketData, drawn_again, load_market
from tradinghf.resources import code_version
from tradinghf.simulation import MarketEnv

UNSEEN_SEED = 1_000_000
SHORT = EnvConfig()
DAILY = EnvConfig(
    lookback=1,
    features=("momentum_20", "momentum_60", "volatility_20", "zscore_20"),
    randomise=Randomisation(bootstrap_paths=15),
)
TASKS = {"short": SHORT, "daily": DAILY}
HIDDEN = {"short": (64, 64), "daily": (32, 32)}


@dataclass(frozen=True)
class Split:
    """Bars for training, for choosing, and for the final judgement.

    Attributes:
        train: the only bars that agents, scalers and rankings see.
        validation: for choosing among finished policies; None where nothing is chosen.
        test: looked at once, at the end.

    """

    train: MarketData
    validation: MarketData | None
    test: MarketData


@dataclass(frozen=True)
class Experiment:
    """Settings of `run_experiment`.

    Attributes:
        trader: synthetic trader, or FILE.py:function from an `Episode` to a float.
        teacher: how faithfully it answers (`tradinghf.feedback._traders.TEACHERS`).
        data: market, as for `load_market`. Synthetic markets are unseen by another seed.
        train_end: last year or date of training bars (real data); default: the first 70 %.
        test_start: first year or date of the test bars; default: the last 20 %.
        end: last day of real data to use at all, such as the day before a seal; default: all.
        envs: parallel environments N.
        env: the task.
        portfolio: one account trades all assets, with any weights: `env` is changed accordingly,
            and its market is not resampled.
        costs: of trading.
        loop: the RLHF loop.
        reward: the reward model.
        baselines: also train PPO on sparse PnL and on the true utility, for S and G.
        test_episodes: episodes behind each mean utility.
        seed: of everything random.

    """

    trader: str = "drawdown"
    teacher: str = "oracle"
    data: str = "synthetic"
    train_end: str | None = None
    test_start: str | None = None
    end: str | None = None
    envs: int = 512
    env: EnvConfig = field(default_factory=EnvConfig)
    portfolio: bool = False
    costs: CostModel = field(default_factory=CostModel)
    loop: RLHFConfig = field(default_factory=RLHFConfig)
    reward: RewardConfig = field(default_factory=RewardConfig)
    baselines: bool = True
    test_episodes: int = 2048
    seed: int = 0

    def __post_init__(self) -> None:
        if self.portfolio:
            object.__setattr__(self, "env", as_portfolio(self.env))
        check_setting(self.envs >= 1, "envs", self.envs, "at least 1")
        check_memory(1024.0 * self.envs, f"{self.envs:,} environments")
        check_setting(self.test_episodes >= 1, "test_episodes", self.test_episodes, "at least 1")

    def environment(self, split: Split) -> MarketEnv:
        """The environment to train in."""
        return MarketEnv(split.train, num_envs=self.envs, config=self.env, costs=self.costs)


def task_for(data: str) -> str:
    """The task that suits a market: "short" for synthetic paths, else "daily".

    A few thousand real bars are few: the default task's eight bars of fast features were
    memorised (a thousandfold profit in training, none in the years after). "daily" sees four slow
    features of the present bar, through a smaller network, and trains on resampled paths as well.
    """
    return "short" if data.partition(":")[0] == "synthetic" else "daily"


def split_market(experiment: Experiment) -> Split:
    """Training bars and bars that nothing has seen.

    A synthetic market is drawn again from another seed; real bars are cut in time, and the test
    window is the last part.
    """
    if drawn_again(experiment.data):
        options = experiment.data.partition(":")[2]
        joined = f"{options}," if options else ""
        seeds = (experiment.seed, experiment.seed + UNSEEN_SEED)
        train, test = (load_market(f"synthetic:{joined}seed={seed}") for seed in seeds)
        return Split(train, None, test)
    market = load_market(experiment.data)
    market = market.between(None, experiment.end) if experiment.end else market
    if experiment.train_end is None:
        first, second = int(0.7 * market.bars), int(0.8 * market.bars)
        return Split(
            market.rows(0, first), market.rows(first, second), market.rows(second, market.bars)
        )
    train = market.between(None, experiment.train_end)
    if experiment.test_start is None:
        return Split(train, None, market.rows(train.bars, market.bars))
    test = market.between(experiment.test_start, None)
    between = market.rows(train.bars, market.bars - test.bars)
    return Split(train, between, test)


def long_enough(split: Split, env: EnvConfig) -> Split:
    """`split`, each of whose parts has room for an episode.

    Raises:
        ConfigError: one has not; said before training instead of after it.

    """
    least = env.lookback + env.horizon  # as `WindowSpace` asks for
    for name, part in vars(split).items():
        if part is not None and part.bars < least:
            raise ConfigError(
                f"The {name} bars of {part.name} are {part.bars}; an episode needs {least}. "
                "Use more bars, move the cuts (train_end, test_start), or shorten the horizon."
            )
    return split


@dataclass(frozen=True, eq=False)
class Outcome:
    """What an experiment produced.

    Attributes:
        result: the numbers of result.json.
        agent: the loop, with its policy and reward model.
        policies: name -> policy: "rlhf", and the baselines "pnl" and "true" if trained.
        split: the bars.

    """

    result: dict[str, Any]
    agent: RLHF
    policies: dict[str, Policy]
    split: Split


def run_experiment(
    experiment: Experiment,
    out: Path | str | None = None,
    *,
    progress: Progress | None = None,
    resume: bool = False,
    look: Callable[[Split], None] | None = None,
    command: str = "",
) -> Outcome:
    """Run the loop and the baselines, and measure S and G on unseen bars.

    Args:
        experiment: settings.
        out: run directory: result.json, reward.json, config.json, metrics.jsonl, policy
            files, the store of episodes and rankings, checkpoints, baselines.
        progress: called with (phase, done, total, metrics).
        resume: continue the run in `out` from its newest checkpoints.
        look: called once, when all settings are known to be good and nothing has seen the test
            bars yet: to log that they are opened.
        command: what to type to run it again, for config.json.

    Raises:
        CheckpointError: another process is writing to `out`.
        Stopped: a signal came within `stoppable`; a checkpoint was written.

    """
    began = time.monotonic()
    split = long_enough(split_market(experiment), experiment.env)
    trader = SyntheticTrader(experiment.trader, experiment.teacher, experiment.seed)
    agent = RLHF(
        experiment.environment(split),
        RewardModel(dataclasses.replace(experiment.reward, seed=experiment.seed)),
        trader=trader,
        store=Store(Path(out) / "store") if out is not None else None,
        validation_market=split.validation,
        test_market=split.test,
        config=dataclasses.replace(experiment.loop, seed=experiment.seed),
        out=out,
        progress=progress,
    )
    run = agent.run
    with agent.training.lock():
        if run is not None:
            record_settings(run, provenance(experiment, split, command), resume=resume)
        if look is not None:
            look(split)
        if resume:
            agent.resume()
        agent.train()
        policies = {"rlhf": agent.policy}
        if experiment.baselines:
            policies |= _baselines(experiment, trader, split, agent, resume)
        result = _measure(experiment, agent, trader, policies, split)
        result["seconds"] = round(time.monotonic() - began, 1)
        if run is not None:
            for name, policy in policies.items():
                policy.save(
                    run.path / ("policy.safetensors" if name == "rlhf" else f"{name}.safetensors")
                )
            run.write_json("result.json", result)
    return Outcome(result, agent, policies, split)


def _baselines(
    experiment: Experiment, trader: SyntheticTrader, split: Split, agent: RLHF, resume: bool
) -> dict[str, Policy]:
    """PPO on sparse PnL and on the true utility."""
    rewards: dict[str, tuple[RewardStream, EpisodeScore]] = {
        "pnl": (sparse_pnl, lambda batch: batch.net_return),
        "true": (utility_stream(trader), trader.utilities),
    }
    return {
        name: train_baseline(
            experiment.environment(split),
            name,
            stream,
            agent.config,
            validation=split.validation,
            score=score,
            run=None if agent.run is None else RunDirectory(agent.run.path / "baselines" / name),
            progress=agent.progress,
            resume=resume,
        )
        for name, (stream, score) in rewards.items()
    }


def _measure(
    experiment: Experiment,
    agent: RLHF,
    trader: SyntheticTrader,
    policies: dict[str, Policy],
    split: Split,
) -> dict[str, Any]:
    """Utilities on unseen bars, S and G with intervals, and the reward model's held-out metrics."""
    env = env_like(agent.env, split.test, experiment.test_episodes)
    chance = random_actor(split.test, experiment.env, experiment.seed, 1.0)
    actors = {"random": chance} | {
        name: Actor(name, policy=policy) for name, policy in policies.items()
    }
    utilities = {
        name: trader.utilities(episode_batch(env, actor, UNSEEN_SEED))
        for name, actor in actors.items()
    }
    means = {name: float(values.mean()) for name, values in utilities.items()}
    blocks = batch_blocks(env, UNSEEN_SEED)
    shares: dict[str, Any] = {"S": None, "G": None}
    if "true" in utilities:
        own, top = utilities["rlhf"], utilities["true"]
        for letter, bottom in (("S", "random"), ("G", "pnl")):
            shares |= attained(own, top, utilities[bottom], blocks).result(letter)
        share, interval = preferred(own, utilities["pnl"], blocks)
        shares |= {"preferred_to_pnl": share, "preferred_to_pnl_interval": interval}
    usable = [r for r in agent.rankings if r.outcome == "ranked"]
    return {
        **shares,
        "windows": experiment.test_episodes,
        "independent_windows": blocks.independent,
        "utility_policy": means["rlhf"],
        "utility_random": means["random"],
        "utility_pnl": means.get("pnl"),
        "utility_true": means.get("true"),
        "rankings": len(agent.rankings),
        "bits": round(sum(r.bits for r in usable), 1),
        "env_steps": agent.training.steps,
        "reward_model": agent.evaluate(),
        "values": agent.reward_model.explain(),
        "history": agent.history,
        "chosen": agent.training.choice,
        "trader": trader.label,
        "teacher": experiment.teacher,
        "data": experiment.data,
        "seed": experiment.seed,
    }


def provenance(experiment: Experiment, split: Split, command: str = "") -> dict[str, Any]:
    """Everything needed to run it again: the config.json of a run."""
    return {
        "experiment": to_dict(experiment),
        "data_sha256": {"train": split.train.sha256, "test": split.test.sha256},
        "code": code_version(),
        "command": command,
        "machine": torch_settings(),
    }

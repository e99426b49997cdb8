"""`tradinghf rlhf` and `train`: policies from rankings and from PnL."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tyro.conf import OmitArgPrefixes

from tradinghf.cli import _output as output
from tradinghf.cli._base import Bases, start_from
from tradinghf.cli._feedback import open_store
from tradinghf.cli._gate import gate_run, keep_decision
from tradinghf.cli._options import OpenSealed, OutputPath, SplitDay, TrialStore, command_line
from tradinghf.cli._progress import progress
from tradinghf.cli._runs import PORTRAIT, RESULT, print_result, yardsticks
from tradinghf.cli._terms import CostOptions, TaskOptions

if TYPE_CHECKING:
    from tradinghf.evaluation import GateConfig, RunStudy
    from tradinghf.learning.policy import Policy
    from tradinghf.loop import RLHF, Experiment
    from tradinghf.market import MarketData
    from tradinghf.simulation import MarketEnv

    _Gating = tuple[str, GateConfig] | None

_Task = Literal["auto", "short", "daily"]


def rlhf(
    *,
    trader: str = "drawdown",
    data: str = "synthetic",
    rankings: int = 50,
    rounds: int = 4,
    steps: int = 2_400_000,
    envs: int = 512,
    out: OutputPath = Path("runs/rlhf"),
    teacher: str = "oracle",
    train_end: SplitDay = None,
    test_start: SplitDay = None,
    task: _Task = "auto",
    portfolio: bool = False,
    base: Bases = (),
    costs: OmitArgPrefixes[CostOptions] = CostOptions(),  # noqa: B008 (frozen)
    terms: OmitArgPrefixes[TaskOptions] = TaskOptions(),  # noqa: B008 (frozen)
    baselines: bool = True,
    test_episodes: int = 2048,
    store: TrialStore = None,
    open_sealed: OpenSealed = None,
    safe: bool = True,
    baseline: str = "buy_and_hold",
    harm: float = 0.05,
    margin: float = 0.0,
    seed: int = 0,
    resume: bool = False,
) -> None:
    """Learn a policy from a hidden trader's rankings, and measure it on unseen bars.

    Each round collects episodes, asks the synthetic trader to rank the most informative ones, fits
    the reward model, and trains PPO on the learned reward and sparse PnL. Then the policy is
    compared with chance, with PPO on PnL alone, and with PPO on the trader's true utility.

    Example: `tradinghf rlhf --trader drawdown --data synthetic --rankings 50 --out runs/first`

    Example: `tradinghf rlhf --trader my_taste.py:utility --data sp500 --train-end 2012`

    Example: `tradinghf rlhf --base sma_cross:fast=10,slow=50 --rankings 15 --out runs/mine`

    Args:
        trader: A built-in taste, or FILE.py:function, a function from Episode to a number.
        data: A data set, a source with options, or a CSV or Parquet file.
        rankings: Questions asked in all.
        rounds: Times that the loop asks; the policy trains in between.
        steps: Environment steps of PPO.
        envs: Environments that step in parallel.
        out: Run directory: result.json, policy, reward model, checkpoints, episodes and rankings.
        teacher: How faithfully the taste is reported: oracle, stochastic, mistakes, ties ...
        train_end: Last day or year of training bars.
        test_start: First day or year of the test bars.
        task: What the policy sees: short, daily, or auto (short for synthetic markets).
        portfolio: One account trades all assets, long and short, and one policy shares its weights
            over them; traders rank whole portfolios.
        base: Strategies that the policy modulates instead of choosing positions: NAME, FILE.py or
            FILE.py:function, with parameters as in sma_cross:fast=10,slow=50; none: from nothing.
            It starts with exactly the orders of the first, and the gate compares with that one.
        costs: What trading and holding costs.
        terms: Exits, margin and order rules.
        baselines: Also train on PnL alone and on the true utility, which S and G need.
        test_episodes: Episodes behind each mean utility.
        store: Where looks at test bars and trials are counted, and seals are: a folder, a .db
            file, or a URL. The run's own rankings stay in OUT/store.
        open_sealed: Use sealed bars too; this reason is logged.
        safe: Let the gate decide at the end whether the policy may replace the baseline: see
            `tradinghf gate`. OUT/deployment.json says what is to trade.
        baseline: What trades now: a strategy, FILE.py:function, a policy file or a run.
        harm: Largest chance that the gate lets a harmful policy through.
        margin: A mean profit per episode lower by up to this is no harm [fraction of equity].
        seed: Of everything random.
        resume: Continue the run in --out from its newest checkpoint.

    """
    command = command_line("rlhf", rlhf, locals())
    from tradinghf.evaluation import GateConfig, RunStudy, store_for_run
    from tradinghf.learning.config import PPOConfig, RLHFConfig
    from tradinghf.learning.runs import stoppable
    from tradinghf.loop import (
        HIDDEN,
        TASKS,
        Experiment,
        load_contender,
        run_experiment,
        task_for,
    )

    kind = task_for(data) if task == "auto" else task
    ppo = PPOConfig(hidden=HIDDEN[kind], shared=portfolio)
    study = RunStudy(data, store_for_run(store, out), open_sealed, output.line)
    limits = GateConfig(harm=harm, margin=margin)
    experiment = Experiment(
        env=terms.given_to(TASKS[kind]),
        portfolio=portfolio,
        end=study.last_day(),
        costs=costs.model,
        trader=trader,
        teacher=teacher,
        data=data,
        train_end=train_end,
        test_start=test_start,
        envs=envs,
        loop=RLHFConfig(rankings=rankings, rounds=rounds, steps=steps, ppo=ppo, seed=seed),
        baselines=baselines,
        test_episodes=test_episodes,
        seed=seed,
    )
    experiment, baseline = start_from(experiment, base, baseline)
    compared = load_contender(baseline)
    with stoppable(), progress() as report_progress:
        outcome = run_experiment(
            experiment,
            out,
            progress=report_progress,
            resume=resume,
            look=lambda split: _open_test_bars(study, split.test, f"rlhf {out.name}"),
            command=command,
        )
    # The true utility is not known of a person: a policy trained on it is no contender.
    policies = [outcome.policies[name] for name in ("rlhf", "pnl") if name in outcome.policies]
    study.count_policies(outcome.split.test, policies)
    print_result(outcome.result)
    tell_portrait(outcome.agent.policy, outcome.agent.env, outcome.split.test, out)
    if safe:
        outcome.agent.baseline = compared
        gate_run(outcome.agent, study, out, baseline, limits)
    output.line(f"Everything is in {out}; a page of it: tradinghf report {out}")


def train(
    *,
    reward: Literal["ranked", "pnl"] = "ranked",
    store: TrialStore = None,
    data: str = "sp500",
    train_end: SplitDay = None,
    test_start: SplitDay = None,
    steps: int = 1_000_000,
    envs: int = 512,
    pnl_weight: float = 0.3,
    task: _Task = "auto",
    portfolio: bool = False,
    base: Bases = (),
    costs: OmitArgPrefixes[CostOptions] = CostOptions(),  # noqa: B008 (frozen)
    terms: OmitArgPrefixes[TaskOptions] = TaskOptions(),  # noqa: B008 (frozen)
    out: OutputPath = Path("runs/train"),
    open_sealed: OpenSealed = None,
    safe: bool = True,
    baseline: str = "buy_and_hold",
    harm: float = 0.05,
    margin: float = 0.0,
    ask: int = 0,
    seed: int = 0,
    resume: bool = False,
) -> None:
    """Train a policy on what the rankings in the store value, together with sparse PnL.

    Example: `tradinghf train --store store --data sp500 --train-end 2012 --out runs/mine`

    Example: `tradinghf train --base mine.py:rule --data bars.csv --out runs/mine`

    Args:
        reward: Learn from the rankings in the store and PnL, or from sparse PnL alone.
        store: Where feedback is kept, looks at test bars are counted, and seals are: a folder, a
            .db file, or a postgresql:// URL.
        data: A data set, a source with options, or a CSV or Parquet file.
        train_end: Last day or year of training bars.
        test_start: First day or year of the test bars.
        steps: Environment steps of PPO.
        envs: Environments that step in parallel.
        pnl_weight: Weight of sparse PnL; the learned reward's is 1.
        task: What the policy sees: short, daily, or auto (short for synthetic markets).
        portfolio: One account trades all assets; the rankings are of portfolios.
        base: Strategies that the policy modulates instead of choosing positions: NAME, FILE.py or
            FILE.py:function, with parameters as in sma_cross:fast=10,slow=50; none: from nothing.
            It starts with exactly the orders of the first, and the gate compares with that one.
        costs: What trading and holding costs.
        terms: Exits, margin and order rules.
        out: Run directory: policy.safetensors, metrics, checkpoints, result.json.
        open_sealed: Use sealed bars too; this reason is logged.
        safe: Let the gate decide at the end whether the policy may replace the baseline: see
            `tradinghf gate`. OUT/deployment.json says what is to trade.
        baseline: What trades now: a strategy, FILE.py:function, a policy file or a run.
        harm: Largest chance that the gate lets a harmful policy through.
        margin: A mean profit per episode lower by up to this is no harm [fraction of equity].
        ask: Questions about what the policy became that are queued for the next round.
        seed: Of everything random.
        resume: Continue the run in --out from its newest checkpoint.

    """
    command = command_line("train", train, locals())
    from tradinghf.errors import check_setting
    from tradinghf.evaluation import DEFAULT_STORE, GateConfig, RunStudy, store_for_run
    from tradinghf.learning.config import PPOConfig, RLHFConfig
    from tradinghf.learning.runs import stoppable
    from tradinghf.loop import HIDDEN, TASKS, Experiment, task_for

    kind = task_for(data) if task == "auto" else task
    ppo = PPOConfig(hidden=HIDDEN[kind], shared=portfolio)
    loop = RLHFConfig(rounds=1, steps=steps, pnl_weight=pnl_weight, ppo=ppo, seed=seed)
    study = RunStudy(data, store_for_run(store, out), open_sealed, output.line)
    experiment = Experiment(
        end=study.last_day(),
        costs=costs.model,
        env=terms.given_to(TASKS[kind]),
        portfolio=portfolio,
        trader=f"store:{DEFAULT_STORE if store is None else store}",
        data=data,
        train_end=train_end,
        test_start=test_start,
        envs=envs,
        loop=loop,
        seed=seed,
    )
    experiment, baseline = start_from(experiment, base, baseline)
    gating = (baseline, GateConfig(harm=harm, margin=margin)) if safe else None
    check_setting(ask >= 0, "--ask", ask, "at least 0 questions")
    with stoppable():
        if reward == "pnl":
            found = _train_on_pnl(experiment, study, out, gating, resume, command)
        else:
            found = _train_on_rankings(experiment, study, out, gating, resume, command, ask)
    numbers = {k: v for k, v in found.items() if isinstance(v, int | float)}
    output.pairs(numbers, title="On unseen bars")
    output.line(f"Policy: {out / 'policy.safetensors'}; a page of it: tradinghf report {out}")


def tell_portrait(policy: Policy, env: MarketEnv, test: MarketData, out: Path) -> None:
    """Say what a policy became, and keep it with the run."""
    from tradinghf.learning.runs import RunDirectory
    from tradinghf.loop import portrait

    found = portrait(policy, env, test)
    RunDirectory(out).write_json(PORTRAIT, found)
    output.line(f"What the policy became, on unseen bars: {found['text']} {found['checked']}")


def _open_test_bars(study: RunStudy, test: MarketData, purpose: str) -> None:
    """Log that a run opens its test bars, and say so."""
    from tradinghf.evaluation import store_without_password

    number = study.log_test_opening(test, purpose)
    where = store_without_password(study.store)
    output.line(f"Opening {number} of the test bars ({output.span(test)}), logged in {where}.")


def _train_on_rankings(
    experiment: Experiment,
    study: RunStudy,
    out: Path,
    gating: _Gating,
    resume: bool,
    command: str,
    ask: int,
) -> dict[str, Any]:
    """Fit the reward model to the store, train, evaluate, and write the run directory."""
    from contextlib import ExitStack

    from tradinghf.learning.runs import RunDirectory
    from tradinghf.loop import (
        RLHF,
        load_contender,
        long_enough,
        provenance,
        record_settings,
        split_market,
    )

    split = long_enough(split_market(experiment), experiment.env)
    with ExitStack() as stack:
        agent = RLHF(
            experiment.environment(split),
            store=stack.enter_context(open_store(experiment.trader.removeprefix("store:"))),
            validation_market=split.validation,
            test_market=split.test,
            config=experiment.loop,
            out=out,
            progress=stack.enter_context(progress()),
            baseline=load_contender(gating[0]) if gating else "buy_and_hold",
            look=lambda: _open_test_bars(study, split.test, f"train {out.name}"),
        )
        run = agent.run or RunDirectory(out)
        stack.enter_context(run.lock())
        record_settings(run, provenance(experiment, split, command), resume=resume)
        if resume:
            agent.resume()
        agent.train()
        found = agent.evaluate()
        if gating:
            gate_run(agent, study, out, *gating)
        trained = agent.trained
        trained.save(out / "policy.safetensors")
        tell_portrait(trained, agent.env, split.test, out)
        study.count_policies(split.test, [trained])
        against = gating[0] if gating else "buy_and_hold"
        beside = yardsticks(agent, split.test, experiment.seed, against)
        run.write_json(RESULT, {"reward_model": found, "yardsticks": beside} | found)
        if ask:
            _ask_again(agent, ask)
    return found


def _ask_again(agent: RLHF, count: int) -> None:
    """Queue questions about what a policy became, as the next round of this store."""
    if agent.store is None:
        return
    rounds = [query.round or 0 for query in agent.store.queries()]
    asked = agent.propose(count, max(rounds, default=0) + 1)
    output.line(f"{len(asked)} new questions about the policy: `tradinghf dashboard`")


def _train_on_pnl(
    experiment: Experiment, study: RunStudy, out: Path, gating: _Gating, resume: bool, command: str
) -> dict[str, Any]:
    """Train on sparse PnL alone, and write the run directory."""
    from tradinghf.learning.ppo import sparse_pnl
    from tradinghf.learning.runs import RunDirectory
    from tradinghf.loop import (
        Actor,
        PairedTask,
        gate,
        load_contender,
        long_enough,
        provenance,
        record_settings,
        split_market,
        trading_metrics,
        train_baseline,
    )
    from tradinghf.simulation import MarketEnv

    split = long_enough(split_market(experiment), experiment.env)
    run = RunDirectory(out)
    with progress() as report, run.lock():
        record_settings(run, provenance(experiment, split, command), resume=resume)
        policy = train_baseline(
            experiment.environment(split),
            "pnl",
            sparse_pnl,
            experiment.loop,
            validation=split.validation,
            run=run,
            progress=report,
            resume=resume,
        )
        _open_test_bars(study, split.test, f"train {out.name}")
        env = MarketEnv(
            split.test,
            num_envs=1024,
            config=experiment.env,
            costs=experiment.costs,
            scaler=policy.scaler,
        )
        found: dict[str, Any] = trading_metrics(env, Actor("pnl", policy=policy), experiment.seed)
        policy.save(out / "policy.safetensors")
        tell_portrait(policy, env, split.test, out)
        study.count_policies(split.test, [policy])
        run.write_json(RESULT, found)
        if gating:
            own = experiment.env
            terms = {"rules": own.rules, "margin": own.margin, "brackets": own.brackets}
            costs = experiment.costs
            task = PairedTask(split.test, 0, own.horizon, costs=costs, terms=terms)
            judged = gate(task, {"the policy": policy}, load_contender(gating[0]), gating[1])
            keep_decision(judged, study, out, gating[0])
    return found

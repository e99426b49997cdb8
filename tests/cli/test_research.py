"""Commands of research: tries are counted, sealed bars stay shut, what is said is so."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.evaluation import make_market

from tradinghf import CostModel, EnvConfig, backtest, load_market
from tradinghf.cli import main
from tradinghf.cli._research import parse_values
from tradinghf.errors import ConfigError, FeedbackError, StrategyError
from tradinghf.evaluation import signal, sweep, walk_forward_policy
from tradinghf.evaluation._policies import policy_orders
from tradinghf.evaluation._validation import deflated_sharpe
from tradinghf.feedback import Query, Ranking
from tradinghf.feedback.store import Store
from tradinghf.market import save_market
from tradinghf.strategies import load_strategy

DATA = "synthetic:bars=300,assets=1"
GRID = ["--param", "fast=2:6:2", "--param", "slow=10,20"]
LEAK = '''
from tradinghf import strategy

@strategy
def oracle(market):
    """Knows tomorrow."""
    import numpy as np
    return np.sign(np.vstack([np.diff(market.close, axis=0), np.zeros((1, market.assets))]))
'''


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def policy_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy that nobody trained."""
    import torch

    from tradinghf.learning.policy import ActorCritic, Policy
    from tradinghf.simulation import MarketEnv

    torch.manual_seed(0)
    config = EnvConfig(horizon=32)
    env = MarketEnv(load_market(DATA), num_envs=1, config=config)
    discrete = not hasattr(env.single_action_space, "shape") or not env.single_action_space.shape
    actions = int(env.single_action_space.n) if discrete else env.single_action_space.shape[0]
    network = ActorCritic(env.obs_dim, actions, 1, (8,), discrete)
    with torch.no_grad():  # an actor of gain 0.01 would never change its mind
        network.actor[-1].weight.mul_(300)
    path = tmp_path_factory.mktemp("run") / "policy.safetensors"
    Policy(network, config, env.scaler, "mine").save(path)
    return path


# Values of a parameter


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("fast=5:20:5", [5, 10, 15, 20]),
        ("fast=5:19:5", [5, 10, 15]),
        ("fast=3:5", [3, 4, 5]),
        ("depth=0.1:0.3:0.1", [0.1, 0.2, 0.3]),
        ("fast=7:7:1", [7]),
        ("fast=-2:2:2", [-2, 0, 2]),
        ("fast=5,10", ["5", "10"]),
        ("short=true", ["true"]),
    ],
)
def test_values_of_a_parameter(text: str, wanted: list[object]) -> None:
    assert parse_values(text)[1] == wanted


@pytest.mark.parametrize(
    "text",
    ["fast", "=1", "fast=", "fast=9:1:1", "fast=1:9:0", "fast=1:2:3:4", "fast=a:b", "fast=1:inf"],
)
def test_what_is_no_range_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match="FIRST:LAST:STEP"):
        parse_values(text)


# Sweeps


def test_sweep_prints_writes_and_counts(capsys: pytest.CaptureFixture[str]) -> None:
    args = ["sweep", "sma_cross", *GRID, "--data", DATA, "--fee-bps", "1", "5"]
    args += ["--store", "bank", "--out", "out/s.parquet", "--report", "s.html"]
    assert main(args) == 0
    shown = capsys.readouterr()
    assert "Best of 12" in shown.out
    assert "after 12 trials" in shown.out
    assert "12/12" in shown.err
    table = pd.read_parquet("out/s.parquet")
    assert len(table) == 12
    assert set(table["data"]) == {DATA}
    library = sweep(
        "sma_cross",
        load_market(DATA),
        {"fast": [2, 4, 6], "slow": [10, 20]},
        costs=[CostModel(fee_bps=1), CostModel(fee_bps=5)],
    ).table
    np.testing.assert_allclose(table["sharpe_annual"], library["sharpe_annual"])
    page = Path("s.html").read_text()
    assert page.count('<table class="heat"') == 1
    assert "http:" not in page.replace("http://www.w3.org", "")
    assert "https:" not in page
    market = load_market(DATA)
    with Store("bank") as bank:
        assert bank.trials(market.sha256) == 12
    assert main(args) == 0, "the same sweep again is no new trial"
    assert main(["backtest", "rsi_reversion", "--data", DATA, "--store", "bank"]) == 0
    assert "after 13 trials" in capsys.readouterr().out
    with Store("bank") as bank:
        assert bank.trials(market.sha256) == 13


def test_a_sweep_takes_exits_and_keeps_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    args = ["sweep", "sma_cross", "--param", "fast=2,4", "--data", DATA, "--stop-loss", "0", "0.02"]
    args += ["--max-fee-bps", "50", "--side", "long", "--out", "s.csv", "--json", "best.json"]
    assert main([*args, "--trades", "t.csv", "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    table = pd.read_csv("s.csv")
    assert table["stop_loss"].tolist() == [0, 0, 0.02, 0.02]
    best = json.loads(Path("best.json").read_text())
    assert best["metrics"]["sharpe_annual"] == pytest.approx(table["sharpe_annual"].max())
    assert best["costs"]["max_fee_bps"] == 50
    assert best["terms"]["rules"]["side"] == "long"
    assert len(pd.read_csv("t.csv")) == len(best["trades"])


def test_compare_prints_numbers_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["compare", "sma_cross:fast=2,slow=10", "sma_cross:fast=4,slow=20", "--data", DATA]
    assert main([*words, "--risk-free", "0.01", "--report", "c.html", "--json", "c.json"]) == 0
    found = json.loads(Path("c.json").read_text())
    sharpe = next(row for row in found["tables"][0]["rows"] if row["name"] == "Sharpe ratio")
    for name, fast, slow in ((words[1], 2, 10), (words[2], 4, 20)):
        own = backtest("sma_cross", load_market(DATA), fast=fast, slow=slow, risk_free=0.01)
        assert sharpe[name] == pytest.approx(own.metrics["sharpe_annual"])
    assert "points of growth a year" in capsys.readouterr().out
    assert "risk_free=0.01" in Path("c.html").read_text()
    assert main([*words[:2], "--data", DATA]) == 2


def test_window_and_costs_make_another_trial_on_the_same_data(
    capsys: pytest.CaptureFixture[str],
) -> None:
    base = ["backtest", "sma_cross", "--data", DATA, "--store", "bank"]
    more: list[list[str]] = [[], [], ["--fee-bps", "3"], ["--set", "fast=3"], ["--fill", "close"]]
    last = str(load_market(DATA).index[-20].date())
    for extra in [*more, ["--end", last]]:
        assert main([*base, *extra]) == 0
    assert "after 5 trials" in capsys.readouterr().out


def test_without_a_store_nothing_is_written_and_it_is_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["backtest", "sma_cross", "--data", DATA]) == 0
    assert "Trials are not counted" in capsys.readouterr().out
    assert list(Path().iterdir()) == []
    Store("store").close()
    assert main(["backtest", "sma_cross", "--data", DATA]) == 0
    assert "Trials are not counted" not in capsys.readouterr().out


@pytest.mark.extra("optuna")
def test_optuna_runs_a_part_of_the_grid_each_once() -> None:
    from tradinghf.evaluation import search

    market = make_market(200, seed=1)
    grid = {"fast": list(range(2, 12)), "slow": [20, 30, 40]}
    costs = [CostModel(), CostModel(fee_bps=9)]
    some = search("sma_cross", market, grid, limit=10, costs=costs, seed=3)
    assert some.trials == 20
    assert not some.table.duplicated(["fast", "slow", "fee_bps"]).any()
    whole = sweep("sma_cross", market, grid, costs=costs).table
    both = some.table.merge(whole, on=["fast", "slow", "fee_bps"], suffixes=("", "_grid"))
    assert len(both) == 20
    np.testing.assert_allclose(both["sharpe_annual"], both["sharpe_annual_grid"])
    again = search("sma_cross", market, grid, limit=10, costs=costs, seed=3)
    pd.testing.assert_frame_equal(some.table, again.table)
    everything = search("sma_cross", market, grid, limit=999)
    assert everything.trials == 30
    # Proposed from each other's results: no spread below chance, and no PBO after the fact.
    assert some.adaptive
    assert some.overfitting() is None
    least = 1 / (market.bars - 1)
    alike = replace(some, table=some.table.assign(sharpe_annual=some.table["sharpe_annual"].max()))
    returns = alike.best().returns.to_numpy()
    assert alike.verdict().deflated == pytest.approx(deflated_sharpe(returns, 20, least))
    steep = {"fast": [5, 10, 20, 30], "slow": [10, 20]}
    kept = search("sma_cross", market, steep, limit=99)
    assert (kept.table["fast"] < kept.table["slow"]).all()
    assert (kept.trials, kept.left_out) == (3, 5)
    with pytest.raises(StrategyError, match="Did you mean 'sharpe_annual'"):
        search("sma_cross", market, grid, limit=3, metric="sharp_annual")


# Sealed bars


def test_sealed_bars_are_left_out_until_opened_and_openings_are_logged(
    capsys: pytest.CaptureFixture[str],
) -> None:
    market = load_market(DATA)
    day = str(market.index[200].date())
    assert main(["seal", DATA, "--start", day, "--store", "bank"]) == 0
    assert "never opened" in capsys.readouterr().out
    base = ["backtest", "sma_cross", "--data", DATA, "--store", "bank"]
    assert main(base) == 0
    out = capsys.readouterr().out
    assert "left out" in out
    assert str(market.index[199].date()) in out
    assert str(market.index[-1].date()) not in out
    assert main([*base, "--start", day]) == 2
    assert "sealed" in capsys.readouterr().err
    assert main([*base, "--open-sealed", "the final look"]) == 0
    assert str(market.index[-1].date()) in capsys.readouterr().out
    assert main(["seal", DATA, "--store", "bank"]) == 0
    out = capsys.readouterr().out
    assert "opened once" in out
    assert "the final look" in out
    later = str(market.index[250].date())
    assert main(["seal", DATA, "--start", later, "--store", "bank"]) == 0
    assert f"sealed from {day}" in capsys.readouterr().out, "a seal cannot be moved back"
    assert main(["backtest", "sma_cross", "--data", DATA, "--open-sealed", "x"]) == 2


def test_report_says_how_often_the_test_bars_were_opened(
    capsys: pytest.CaptureFixture[str],
) -> None:
    args = ["train", "--reward", "pnl", "--data", DATA, "--steps", "1000", "--envs", "8"]
    assert main([*args, "--out", "runs/p"]) == 0
    out = capsys.readouterr().out
    assert "Opening 1 of the test bars" in out
    assert "logged in runs/p/store" in out
    for wanted in ("opened 2 times", "opened 3 times"):
        assert main(["report", "runs/p"]) == 0
        assert wanted in capsys.readouterr().out
        assert wanted in Path("runs/p/report.html").read_text()
    assert main(["report", "runs/p", "--store", "bank"]) == 0
    assert "opened once; trials on this data: 1 (counted in bank)" in capsys.readouterr().out
    assert not Path("store").exists()


@pytest.mark.parametrize("command", ["train", "rlhf"])
def test_what_trains_leaves_sealed_bars_out_and_logs_its_looks(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data = "synthetic:bars=1000,assets=1,seed=5"
    market = load_market(data)
    day = str(market.index[700].date())
    assert main(["seal", data, "--start", day]) == 0
    args = [command, "--data", data, "--steps", "1000", "--envs", "8", "--task", "daily"]
    more = ["--no-baselines", "--rankings", "4", "--rounds", "1", "--test-episodes", "8"]
    args += ["--reward", "pnl"] if command == "train" else more
    assert main([*args, "--out", "runs/p"]) == 0
    out = capsys.readouterr().out
    assert f"Bars from {day} on are sealed and left out" in out
    last = str(market.index[699].date())
    assert f"to {last}), logged in store" in out
    config = json.loads(Path("runs/p/config.json").read_text())
    assert last <= config["experiment"]["end"] < day
    test = market.rows(560, 700)
    assert config["data_sha256"]["test"] == test.sha256
    with Store("store") as bank:
        (note,) = bank.trial_log(market.sha256, "opening")
        assert note.name == f"{command} p"
        assert bank.trials(market.sha256, kind="training") == 1
    assert main(["report", "runs/p"]) == 0
    assert last in capsys.readouterr().out, "the page is about the same bars"
    assert main([*args, "--out", "runs/o", "--open-sealed", "the final look"]) == 0
    assert "left out" not in capsys.readouterr().out
    with Store("store") as bank:
        assert bank.trial_log(market.sha256, "opening")[-1].params["reason"] == "the final look"
    assert main(["report", "runs/o"]) == 2
    assert "sealed" in capsys.readouterr().err
    assert main(["report", "runs/o", "--open-sealed", "to show it"]) == 0


def test_rankings_about_later_windows_are_left_out_of_a_walk() -> None:
    """Each window's reward model knows the rankings of episodes that ended before it did."""
    from tradinghf.learning.config import PPOConfig, RLHFConfig
    from tradinghf.loop import RLHF, collect, strategy_actor
    from tradinghf.simulation import MarketEnv, Windows

    market = load_market("synthetic:bars=400,assets=1,seed=2")
    config = EnvConfig(horizon=32)
    actors = [strategy_actor("sma_cross", market), strategy_actor("momentum", market)]
    starts = np.arange(60, 360, 30)
    windows = Windows(asset=np.zeros(len(starts), dtype=np.int64), start=starts)
    with Store("bank") as bank:
        for number, row in enumerate(collect(market, actors, windows, config=config)):
            ids = tuple(bank.add_episodes(row))
            bank.submit(Ranking(f"k{number}", ids, (1, 2)))
        loop = RLHFConfig(rounds=1, steps=512, ppo=PPOConfig(hidden=(8,)))
        for stop in (92, 93, 250, 400):
            past = market.rows(0, stop)
            env = MarketEnv(past, num_envs=16, config=config)
            agent = RLHF(env, store=bank, until=past.timestamps[-1], config=loop)
            wanted = int((starts + 32 < stop).sum())
            if not wanted:
                with pytest.raises(
                    FeedbackError, match="No ranking in the store is about bars up to"
                ):
                    agent.ask(0, 0)
                continue
            assert len(agent.ask(0, 0)) == wanted
            for ranking in agent.rankings:
                for name in ranking.episodes:
                    assert agent.episodes[name].timestamps[-1] <= past.timestamps[-1]


# Checks


def test_check_catches_a_leak_and_clears_an_honest_file(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("mine.py").write_text(LEAK)
    assert main(["check", "mine.py", "--data", DATA]) == 2
    assert "look-ahead" in capsys.readouterr().out
    assert (
        main(["check", "sma_cross", "--data", DATA, "--fee-bps", "0", "--slippage-bps", "0"]) == 0
    )
    out = capsys.readouterr().out
    assert "no costs" in out
    assert "no look-ahead" in out


# Signals


@pytest.mark.parametrize("bar", [120, 199, 298])
def test_the_signal_of_a_day_is_what_a_later_backtest_trades(bar: int, policy_file: Path) -> None:
    from tradinghf.learning.policy import Policy
    from tradinghf.strategies import held_targets

    market = load_market(DATA)
    policy = Policy.load(policy_file)
    later = policy_orders(policy, market, costs=CostModel(), fill="next_open", cash=1e5)
    found = signal(policy, market.rows(0, bar + 1))
    assert found["weight"].tolist() == held_targets(later)[bar].tolist()
    assert found["before"].tolist() == held_targets(later)[bar - 1].tolist()
    rule = signal("sma_cross", market.rows(0, bar + 1), fast=3)
    wanted = held_targets(load_strategy("sma_cross").orders(market, fast=3))
    assert rule["weight"].tolist() == wanted[bar].tolist()


def test_a_signal_of_features_that_are_not_known_yet_is_refused(
    policy_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tradinghf.learning.policy import Policy

    policy, market = Policy.load(policy_file), load_market(DATA)
    # log_return is divided by the volatility of 20 bars: 21, of which the policy sees the last 8.
    assert len(signal(policy, market.rows(0, 28))) == 1
    with pytest.raises(StrategyError, match=r"needs 28 bars.*takes 21.*has 27"):
        signal(policy, market.rows(0, 27))
    for bars, code in ((27, 2), (28, 0)):
        save_market(market.rows(0, bars), f"{bars}.csv")
        assert main(["signal", str(policy_file), "--data", f"{bars}.csv"]) == code
    assert "needs 28 bars" in capsys.readouterr().err


def test_signal_on_the_command_line(policy_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in (str(policy_file), str(policy_file.parent), "buy_and_hold"):
        assert main(["signal", name, "--data", DATA, "--out", "today.csv"]) == 0
        assert "order" in capsys.readouterr().out
    table = pd.read_csv("today.csv")
    assert table["weight"].tolist() == [1.0]
    assert table["bar"][0] == load_market(DATA).index[-1].isoformat()


def test_a_saved_policy_is_a_strategy_on_the_command_line(
    policy_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tradinghf.learning.policy import Policy

    assert main(["backtest", str(policy_file), "--data", DATA, "--report", "p.html", "--all"]) == 0
    out = capsys.readouterr().out
    report = backtest(Policy.load(policy_file), load_market(DATA))
    assert report.metrics["fills"], "this policy trades"
    assert f"{report.metrics['fills']:,}" in out
    assert "mine" in Path("p.html").read_text()
    assert main(["backtest", "nothing.safetensors", "--data", DATA]) == 2
    assert "nothing.safetensors" in capsys.readouterr().err


# Raters


def test_the_tear_sheet_says_what_raters_think(policy_file: Path) -> None:
    from tradinghf.learning.policy import Policy
    from tradinghf.loop import Actor, collect, strategy_actor
    from tradinghf.simulation import random_windows

    policy = Policy.load(policy_file)
    market = load_market(DATA)
    actors = [
        strategy_actor("sma_cross", market),
        Actor(f"policy:{policy.fingerprint}-0", policy=policy),
    ]
    windows = random_windows(market, policy.config, 2, seed=0)
    with Store("bank") as bank:
        rows = collect(market, actors, windows, config=policy.config)
        for number, row in enumerate(rows):
            ids = tuple(bank.add_episodes(row))
            bank.add_queries([Query(f"q{number}", ids, "learn")])
            bank.submit(Ranking(f"k{number}", ids, (2, 1), query=f"q{number}"))
    args = ["--data", DATA, "--store", "bank", "--report", "p.html"]
    assert main(["backtest", str(policy_file), *args]) == 0
    assert "Preferred in 2 of 2 blind comparisons" in Path("p.html").read_text()
    assert main(["backtest", "sma_cross", *args]) == 0
    assert "Preferred in 0 of 2 blind comparisons" in Path("p.html").read_text()
    assert main(["backtest", "rsi_reversion", *args]) == 0
    assert "blind comparisons" not in Path("p.html").read_text()


# Walk-forward


def test_walkforward_chooses_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    args = ["walkforward", "sma_cross", *GRID, "--data", DATA, "--train-bars", "120"]
    args += ["--test-bars", "60", "--store", "bank", "--out", "w.parquet", "--report", "w.html"]
    assert main(args) == 0
    assert "in a single trial" in capsys.readouterr().out
    windows = pd.read_parquet("w.parquet")
    assert len(windows) == 3
    assert (windows["train_end"] < windows["test_start"]).all()
    assert "walk-forward" in Path("w.html").read_text()


def test_walkforward_trains_policies(capsys: pytest.CaptureFixture[str]) -> None:
    args = ["walkforward", "--train-policy", "--data", "synthetic:bars=600,assets=1"]
    args += ["--test-bars", "120", "--steps", "2000", "--envs", "16", "--train-bars"]
    assert main([*args, "100"]) == 2
    assert "--train-bars is 100; expected at least 360" in capsys.readouterr().err
    args.append("400")
    assert main(args) == 0
    out = capsys.readouterr().out
    assert "ppo pnl, walk-forward" in out
    assert main([*args, "--reward", "ranked"]) == 2
    assert "--store" in capsys.readouterr().err
    assert main([*args, "--param", "fast=1:2"]) == 2


def test_policies_of_a_walk_see_only_their_past() -> None:
    """A stub that goes long after a training window that ends high, on a market known by heart."""
    market = make_market(400, seed=2)
    seen: list[tuple[int, int, int]] = []
    index = {stamp: i for i, stamp in enumerate(market.timestamps)}

    class Level:
        config = EnvConfig(horizon=16, actions="continuous")
        name = "level"

        def __init__(self, level: float) -> None:
            self.level = level

        def act(self, obs, deterministic=True):
            import torch

            return torch.full((len(obs), 1), self.level)

    def train(past, validation, number):
        assert past.timestamps[-1] < validation.timestamps[0]
        ends = index[past.timestamps[0]], index[validation.timestamps[-1]]
        seen.append((*ends, number))
        return Level(0.25 * (number + 1))

    walked = walk_forward_policy(train, market, train_bars=150, test_bars=100, purge=5)
    assert seen == [(0, 149, 0), (100, 249, 1), (200, 349, 2)]
    assert [w for w in walked.windows["test_start"]] == [market.index[i] for i in (155, 255, 355)]
    targets = pd.DataFrame(walked.report.targets).dropna()
    assert targets.index.tolist() == [0, 100, 200]
    assert targets[0].tolist() == [0.25, 0.5, 0.75]

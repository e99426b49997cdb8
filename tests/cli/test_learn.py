"""Commands that learn: run directories, their page, progress, and what goes wrong."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest

from tradinghf.cli import _learn as learn
from tradinghf.cli import _runs as runs
from tradinghf.cli import main
from tradinghf.cli._feedback import questions
from tradinghf.cli._options import command_line
from tradinghf.cli._progress import _details, _Lines
from tradinghf.cli._terms import CostOptions
from tradinghf.config import EnvConfig
from tradinghf.feedback import Query
from tradinghf.feedback.store import Store
from tradinghf.loop import collect, constant_actor, random_actor
from tradinghf.market import FIELDS, synthetic
from tradinghf.simulation import random_windows

MARKET = "synthetic:bars=300,assets=2"
SMALL = ["--data", MARKET, "--steps", "4000", "--envs", "16"]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_train_on_pnl_writes_a_policy_that_backtests_and_has_a_page(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["train", "--reward", "pnl", *SMALL, "--out", "runs/p"]) == 0
    out = capsys.readouterr().out
    assert "mean_return" in out
    config = json.loads(Path("runs/p/config.json").read_text())["experiment"]
    assert config["data"] == MARKET
    assert config["loop"]["steps"] == 4000
    assert main(["report", "runs/p", "--out", "page.html"]) == 0
    out = capsys.readouterr().out
    assert "PPO on PnL alone" in out
    assert "buy and hold" in out
    assert "PPO on PnL alone" in Path("page.html").read_text()


def test_train_starts_from_a_base_and_says_what_the_policy_became(
    capsys: pytest.CaptureFixture[str],
) -> None:
    base = "sma_cross:fast=3,slow=9"
    assert main(["train", "--reward", "pnl", *SMALL, "--base", base, "--out", "runs/o"]) == 0
    out = capsys.readouterr().out
    assert "What the policy became" in out
    assert f"Less {base}" in out
    told = json.loads(Path("runs/o/policy.json").read_text())
    assert base in told["text"]
    assert told["departures"]["base"] == base
    assert json.loads(Path("runs/o/deployment.json").read_text())["baseline"] == base
    assert main(["signal", "runs/o/policy.safetensors", "--data", MARKET]) == 0
    assert main(["report", "runs/o", "--out", "page.html"]) == 0
    assert f"The policy became: {told['text'][0].lower()}" in Path("page.html").read_text()
    assert main(["train", "--base", "none", "sma_cross", *SMALL]) == 2
    assert "--base none starts from nothing" in capsys.readouterr().err


def test_few_real_bars_start_from_what_trades_now_and_the_command_says_why(
    capsys: pytest.CaptureFixture[str],
) -> None:
    few = ["--data", "sp500", "--steps", "1000", "--envs", "4", "--reward", "pnl"]
    assert main(["train", *few, "--out", "runs/f"]) == 0
    out = capsys.readouterr().out
    assert "too few to learn trading from nothing" in out
    env = json.loads(Path("runs/f/config.json").read_text())["experiment"]["env"]
    assert env["overlay"]["bases"] == ["buy_and_hold"]
    assert main(["train", *few, "--base", "none", "--out", "runs/n"]) == 0
    assert "too few" not in capsys.readouterr().out
    env = json.loads(Path("runs/n/config.json").read_text())["experiment"]["env"]
    assert env["overlay"] is None


def test_the_loop_goes_on_about_what_the_policy_became(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(["episodes", "collect", "--data", MARKET, "--windows", "8", "--horizon", "32"])
    main(["rank", "--trader", "drawdown"])
    assert main(["train", *SMALL, "--store", "store", "--ask", "3", "--out", "runs/f"]) == 0
    assert "3 new questions about the policy" in capsys.readouterr().out
    beside = json.loads(Path("runs/f/result.json").read_text())["yardsticks"]["buy_and_hold"]
    assert beside["windows"] == json.loads(Path("runs/f/result.json").read_text())["windows"]
    more = ["--policy", "runs/f", "--informed", "--windows", "4", "--seed", "1"]
    assert main(["episodes", "collect", "--data", MARKET, *more]) == 0
    assert "collect " in capsys.readouterr().err
    with Store("store") as store:
        own = {name for name, source in store.sources().items() if source == "policy:f-0-0"}
        asked = store.queries()
    assert [query.round for query in asked[8:11]] == [1, 1, 1]
    learn = [query for query in asked[8:] if query.purpose == "learn"]
    assert own
    for query in learn:
        assert any(source.startswith("policy:f-") for source in sources_of(query))


def sources_of(query: Query) -> list[str]:
    with Store("store") as store:
        return [store.sources()[name] for name in query.episodes]


def test_equal_seeds_give_equal_policies_and_others_do_not() -> None:
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        assert main(["train", "--reward", "pnl", *SMALL, "--out", name, "--seed", seed]) == 0
    first, again, other = (Path(n, "policy.safetensors").read_bytes() for n in "abc")
    assert first == again
    assert first != other


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["report", "nothing"], "run directory"),
        (["reward", "show", "nothing"], "reward.json"),
        (["reward", "fit", "--store", "nothing"], "no feedback store"),
        (["train", "--store", "nothing", *SMALL], "no feedback store"),
        (["rlhf", "--trader", "drawdwn"], "'drawdown'"),
        (["rlhf", "--teacher", "orakle"], "'oracle'"),
        (["rlhf", "--trader", "missing.py:taste"], "missing.py"),
        (["rlhf", "--data", "synthetc"], "'synthetic'"),
        (["rlhf", "--rankings", "0"], "rankings"),
        (["rlhf", "--envs", "0"], "envs"),
        (["episodes", "collect", "--size", "9"], "--size"),
        (["episodes", "collect", "--held-out", "2"], "--held-out"),
        (["episodes", "collect", "--policy", "missing.safetensors"], "missing.safetensors"),
        (["episodes", "collect", "--data", MARKET, "--strategies", "sma_cros"], "'sma_cross'"),
    ],
)
def test_what_goes_wrong_is_said_in_a_sentence(
    args: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(args) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: ")
    assert words in error
    assert not Path("store").exists(), "a mistake leaves no empty store behind"


def test_a_damaged_run_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    Path("run").mkdir()
    Path("run/reward.json").write_text("{")
    assert main(["reward", "show", "run"]) == 2
    assert "reward.json" in capsys.readouterr().err


def test_episodes_are_collected_ranked_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    Path("taste.py").write_text("def flat(episode):\n    return -abs(episode.position).mean()\n")
    collected = ["episodes", "collect", "--data", MARKET, "--windows", "6", "--size", "3"]
    assert main(collected) == 0
    assert "6 new questions of 3 episodes" in capsys.readouterr().out
    assert main(collected) == 0
    assert "0 new questions" in capsys.readouterr().out, "the same seed asks nothing new"
    assert main(["rank", "--trader", "taste.py:flat", "--limit", "4"]) == 0
    assert "4 ranked, 0 skipped, 2 left" in capsys.readouterr().out
    assert main(["rank", "--trader", "taste.py:flat"]) == 0
    assert "2 ranked, 0 skipped, 0 left" in capsys.readouterr().out
    assert main(["episodes", "list", "--source", "sma_cross"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "sma_cross" in line]
    assert len(lines) == 6
    assert main(["episodes", "show", lines[0].split()[0]]) == 0
    assert "return_pct" in capsys.readouterr().out
    assert main(["episodes", "show", ""]) == 2
    assert "Argument 3 is empty" in capsys.readouterr().err
    assert main(["doctor"]) == 0
    assert "6 rankings" in capsys.readouterr().out


def test_two_synthetic_traders_of_one_taste_answer_separately(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(["episodes", "collect", "--data", MARKET, "--windows", "3", "--size", "3"])
    for teacher, seed in (("oracle", "0"), ("mistakes", "0"), ("mistakes", "7")):
        args = ["rank", "--trader", "profit", "--teacher", teacher, "--seed", seed]
        assert main(args) == 0
        assert "3 ranked" in capsys.readouterr().out


def test_questions_hold_out_a_share_and_never_show_twins() -> None:
    market = synthetic(bars=300, assets=2)
    config = EnvConfig(horizon=16)
    actors = [constant_actor(market, level) for level in (-1.0, 0.0, 0.0, 1.0)]
    actors.append(random_actor(market, config, seed=0, hold=4))
    rows = collect(market, actors, random_windows(market, config, 10, seed=0), config=config)
    asked = questions(rows, 4, 0.3, 0)
    assert [q.purpose for q in asked].count("test") == 3
    by_id = {e.id: e for row in rows for e in row}
    for query in asked:
        shown = [by_id[name] for name in query.episodes]
        assert len({e.window for e in shown}) == 1
        assert len({e.equity.tobytes() for e in shown}) == 4


def test_progress_lines_are_few_and_carry_metrics(capsys: pytest.CaptureFixture[str]) -> None:
    report = _Lines()
    for phase in ("train", "baseline"):
        for done in range(0, 1001, 10):
            report(phase, done, 1000, {"pnl": 0.0123})
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 22
    assert lines[-1] == "baseline 1,000/1,000 profit +1.23%"
    report("rank", 1, 3, {})
    report("rank", 3, 3, {})
    assert len(capsys.readouterr().err.splitlines()) == 2
    assert _details({"kl": 0.01, "unknown": 3.0}) == "KL 0.0100"


def test_values_without_evidence_are_named_not_listed(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"name": "profit", "sentence": "The yardstick.", "probability": 1.0},
        {"name": "max_drawdown", "sentence": "It costs you.", "probability": 0.9},
        {"name": "short_exposure", "sentence": "No sign.", "probability": 0.1},
    ]
    runs.print_values(rows)
    out = capsys.readouterr().out
    assert "It costs you." in out
    assert "No sign." not in out
    assert "beyond profit: short exposure." in out


def test_a_share_over_noise_is_called_not_meaningful() -> None:
    found = {"G": -1.1, "G_interval": None, "G_gap_interval": [-0.02, 0.05]}
    text = runs.share_text(found, "G")
    assert text.startswith("not meaningful: PPO on the true utility is not measurably better")
    assert "-1.1" not in text
    found = {"G": 0.9, "G_interval": [0.8, 1.0], "G_gap_interval": [0.01, 0.05]}
    assert runs.share_text(found, "G") == "0.90 (95 % interval 0.80 to 1.00)"
    assert "baselines" in runs.share_text({"S": None}, "S")
    few = {"S": 0.8, "S_gap_interval": None, "utility_true": 1.0, "independent_windows": 4}
    assert runs.share_text(few, "S") == ("0.80 (too few independent windows for an interval: 4)")


def test_the_command_of_a_run_names_what_differs_from_the_defaults() -> None:
    values = {
        name: parameter.default
        for name, parameter in inspect.signature(learn.rlhf).parameters.items()
    }
    values |= {"data": "my bars.csv", "baselines": False, "seed": 3, "resume": True}
    values |= {"store": "postgresql://me:secret@host/db"}
    values["costs"] = CostOptions(fee_bps=5.0, borrow_rate=0.02)
    text = command_line("rlhf", learn.rlhf, values)
    assert text.startswith(
        "tradinghf rlhf --data 'my bars.csv' --fee-bps 5.0 --borrow-rate 0.02 --no-baselines"
    )
    assert text.endswith("--seed 3")
    assert "secret" not in text
    assert "resume" not in text


@pytest.mark.slow
def test_a_portfolio_is_ranked_trained_reported_and_traded(
    capsys: pytest.CaptureFixture[str],
) -> None:
    market = synthetic(1, 800, 3)
    rows = ["date,symbol,open,high,low,close,volume"]
    for t, stamp in enumerate(market.timestamps.astype("datetime64[D]")):
        for i, symbol in enumerate(market.symbols):
            numbers = (f"{getattr(market, n)[t, i]:.6f}" for n in FIELDS)
            rows.append(f"{stamp},{symbol},{','.join(numbers)}")
    Path("universe.csv").write_text("\n".join(rows) + "\n")
    few = ["--rankings", "6", "--rounds", "1", "--test-episodes", "8", "--envs", "8"]
    few += ["--steps", "1024", "--task", "short", "--trader", "concentration_averse"]
    assert main(["rlhf", "--data", "universe.csv", "--portfolio", *few, "--out", "run"]) == 0
    result = json.loads(Path("run/result.json").read_text())
    assert result["rankings"] == 6
    config = json.loads(Path("run/config.json").read_text())["experiment"]
    assert config["env"]["portfolio"] is True
    assert config["loop"]["ppo"]["shared"] is True
    policy = "run/policy.safetensors"
    assert main(["backtest", policy, "--data", "universe.csv"]) == 0
    assert main(["signal", policy, "--data", "universe.csv"]) == 0
    out = capsys.readouterr().out
    assert all(symbol in out for symbol in market.symbols)
    assert main(["report", "run", "--out", "page.html"]) == 0
    again = ["--store", "run/store", "--data", "universe.csv", "--portfolio", "--task", "short"]
    assert main(["train", *again, "--steps", "512", "--envs", "8", "--out", "again"]) == 0

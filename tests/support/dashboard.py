"""Episodes on random walks, stores filled with queries about them, and running dashboards."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
from safetensors.numpy import save_file

from tradinghf.episodes import Episode
from tradinghf.feedback import Query, Ranking
from tradinghf.feedback.store import Store

SOURCES = ("sma_cross", "momentum", "rsi_reversion", "donchian_breakout", "buy_and_hold")


def walk(seed: int, bars: int) -> dict[str, np.ndarray]:
    """OHLCV [bars + 1] of a seeded random walk with a trend."""
    rng = np.random.default_rng(seed)
    close = 50 * np.exp(np.cumsum(0.012 * rng.standard_normal(bars + 1) + 0.0005))
    open_ = np.concatenate([[50.0], close[:-1]]) * np.exp(0.002 * rng.standard_normal(bars + 1))
    spread = np.exp(0.006 * np.abs(rng.standard_normal((2, bars + 1))))
    return {
        "open": open_,
        "high": np.maximum(open_, close) * spread[0],
        "low": np.minimum(open_, close) / spread[1],
        "close": close,
        "volume": rng.uniform(1e5, 1e6, bars + 1),
    }


def trade(bars: dict[str, Any], seed: int, source: str, start: int = 0) -> Episode:
    """An episode that changes its position now and then; fills at the open, 2 bps of cost."""
    rng = np.random.default_rng([seed, 7])
    length = len(bars["close"]) - 1
    changes = rng.random(length) < 12 / length
    levels = rng.choice([-0.5, 0.0, 0.5, 1.0], size=length)
    position = np.zeros(length)
    for t in range(length):
        position[t] = levels[t] if changes[t] else (position[t - 1] if t else 0.0)
    turnover = np.abs(np.diff(position, prepend=0.0))
    returns = position * (bars["close"][1:] / bars["open"][1:] - 1) - 2e-4 * turnover
    equity = np.concatenate([[1.0], np.cumprod(1 + returns)])
    return Episode(
        **bars,
        timestamps=np.datetime64("2011-01-03", "ns")
        + np.arange(length + 1) * np.timedelta64(1, "D"),
        position=position,
        equity=equity,
        turnover=turnover,
        costs=2e-4 * turnover,
        price=np.where(turnover > 0, bars["open"][1:], np.nan),
        symbol="SPX",
        market="0" * 64,
        start=start,
        source=source,
    )


def window(seed: int, panels: int = 4, bars: int = 120) -> list[Episode]:
    """Episodes of different sources on one window."""
    walked = walk(seed, bars)
    return [trade(walked, seed * 10 + k, SOURCES[k], start=seed) for k in range(panels)]


def fill_store(store: Store, queries: int = 8, panels: int = 4, bars: int = 120) -> list[Query]:
    """Add queries, each about one window."""
    asked = [
        Query.of(store.add_episodes(window(seed, panels, bars)), purpose="learn")
        for seed in range(queries)
    ]
    store.add_queries(asked)
    return asked


def fill_runs(store: Store, runs: Path, rater: str = "local") -> None:
    """Answers to the first queries, and what a fit, a training and a backtest leave behind."""
    asked = store.queries()[:6]
    for number, query in enumerate(asked):
        ranks = tuple(range(1, len(query.episodes) + 1))
        answer = Ranking(f"{number:032x}", query.episodes, ranks, query.id, rater, seconds=4.0)
        store.submit(answer)
    fit, training, test = (runs / name for name in ("reward-1", "train-1", "backtest-1"))
    for folder in (fit, training, test):
        folder.mkdir(parents=True)
    values = [
        {
            "name": name, "says": says, "sentence": f"{says} costs you something.", "low": -2.0,
            "high": -0.5, "weight": -1.0, "probability": chance,
        }
        for name, says, chance in (
            ("max_drawdown", "1 % of maximum drawdown", 0.99),
            ("trades", "one trade", 0.2),
        )
    ]  # fmt: skip
    first, health = asked[0], store.health()
    worst = {
        "key": f"{0:032x}", "rater": rater, "query": first.id, "episodes": first.episodes,
        "ranks": list(range(1, len(first.episodes) + 1)), "pairs": 6, "otherwise": 4,
        "scores": [0.1 * k for k in range(len(first.episodes))], "chance": 0.2,
    }  # fmt: skip
    about = {
        "values": values, "rankings": 6, "worst": [worst], "bar_unit": "percent of profit",
        "held_out": {"accuracy": 0.8, "accuracy_interval": [0.7, 0.9], "f1": 0.7, "ece": 0.05},
        "calibration": [{"stated": 0.6, "observed": 0.5, "pairs": 9}], "disagreement": 0.1,
        "traders": {rater: {"values": values, "rankings": 6, "trust": 1.0}},
        "answers": {"head": health["head"], "count": health["rankings"]},
    }  # fmt: skip
    (fit / "reward.json").write_text(json.dumps(about))
    rewards = {
        name: np.cumsum(np.ones((2, store.episode(name).bars), np.float32), axis=1)
        for name in first.episodes
    }
    save_file(rewards, fit / "bar_rewards.safetensors")
    rows = [{"step": 100.0 * i, "pnl": 0.01 * i, "kl": 0.01, "entropy": 1.0} for i in range(9)]
    (training / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    days = pd.date_range("2020-01-01", periods=20)
    curve = {name: np.linspace(0, 1, 20) for name in ("equity", "drawdown", "position", "held")}
    pd.DataFrame(curve, index=days).to_parquet(test / "curves.parquet")
    (test / "report.html").write_text("<p>report</p>")
    found = {"request": {"strategy": "sma_cross"}, "metrics": {"sharpe_annual": 1.0}, "trials": 3}
    (test / "backtest.json").write_text(json.dumps(found))


def fill_policy(store: Store, runs: Path, rater: str = "local") -> Path:
    """A policy that was trained, compared, backtested and judged, as its run leaves it; its run."""
    run, test = runs / "careful", runs / "backtest-2"
    run.mkdir(parents=True)
    test.mkdir()
    (run / "policy.safetensors").write_bytes(b"")
    means = dict.fromkeys(("mean_return", "mean_max_drawdown", "mean_exposure", "win_rate"), 0.01)
    value = {"name": "max_drawdown", "sentence": "Drawdown costs you.", "says": "1 % of drawdown",
             "weight": -1.5, "low": -2.0, "high": -1.0, "probability": 0.99}  # fmt: skip
    health = store.health()
    answers = {"head": health["head"], "count": health["rankings"]}
    written = {
        "config": {"experiment": {"data": "sp500", "trader": f"store:{store.location}"}},
        "reward": {"values": [value], "rankings": health["rankings"], "answers": answers},
        "result": means | {"yardsticks": {"buy_and_hold": means}},
        "policy": {"text": "Stays out of the market. It departs from buy_and_hold in 3 % of bars."},
        "deployment": {"answer": "keep", "baseline": "buy_and_hold", "text": "No evidence."},
    }
    for name, content in written.items():
        (run / f"{name}.json").write_text(json.dumps(content))
    rows = ({"step": 8192 * i, "pnl": 0.01 * i, "steps_per_s": 900.0} for i in range(1, 9))
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    days = pd.date_range("2020-01-01", periods=20)
    columns = ("equity", "drawdown", "position", "held", "beside")
    curves = {name: np.linspace(0, 1, 20) for name in columns}
    pd.DataFrame(curves, index=days).to_parquet(test / "curves.parquet")
    (test / "report.html").write_text("<p>report</p>")
    request = {"strategy": "policy:careful", "policy": str(run / "policy.safetensors")}
    request |= {"data": "sp500", "beside": "momentum"}
    cuts = {"cuts": ["2020-01-06", "2020-01-11"]}
    verdict = {"label": "Verdict", "headline": "Too few bars.", "passed": False, "reasons": ["20."]}
    found = {"request": request | cuts, "metrics": {"sharpe_annual": 1.0}, "trials": 3}
    (test / "backtest.json").write_text(json.dumps(found | {"verdict": verdict}))
    both = store.add_episodes(window(99, panels=2))
    pair = Query.of(both, purpose="test", note="careful / sma_cross")
    store.add_queries([pair])
    store.submit(Ranking(f"{99:032x}", pair.episodes, (1, 2), pair.id, rater, seconds=4.0))
    return run


OPENED: dict[str, str] = {}
"""Address of a server without sign-in -> the cookie, "name=value", of who started it."""


def start_cookie(url: str, token: str) -> str:
    """What the browser keeps after the address with the token was opened."""
    status, headers, _ = request(url, f"/start?token={token}")
    assert status == 303
    return headers["set-cookie"].partition(";")[0]


@dataclass
class Running:
    """A dashboard in a process of its own; once dead, `said` holds what it printed."""

    process: subprocess.Popen[str]
    url: str
    token: str
    drain: threading.Thread
    said: list[str]

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    def kill(self) -> None:
        """As `kill -9`."""
        self.process.kill()
        self.process.wait()
        self.drain.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


def start_dashboard(
    store: Path | str,
    *,
    port: int = 0,
    auth: str = "none",
    folder: Path | None = None,
    **settings: str,
) -> Running:
    """Start `tradinghf dashboard` in `folder` and wait until it listens.

    `folder`, by default a local store's own, gets the runs, and is where secrets are looked up.
    """
    place = folder or Path(store)
    command = [
        *(sys.executable, "-m", "tradinghf", "dashboard", "--store", str(store)),
        *("--port", str(port), "--auth", auth, "--runs", str(place / "runs")),
    ]
    for name, value in settings.items():
        command += [f"--{name}", value]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        cwd=place,
    )
    assert process.stdout is not None
    for line in process.stdout:
        found = re.search(r"(http://[0-9.]+:\d+)(?:/start\?token=(\w+))?", line)
        if found:
            url, token = found[1], found[2] or ""
            if token:
                OPENED[url] = start_cookie(url, token)
            said: list[str] = []
            drain = threading.Thread(target=_keep, args=(process.stdout, said), daemon=True)
            drain.start()
            return Running(process, url, token, drain, said)
    raise AssertionError(f"the dashboard ended with code {process.wait()}")


def _keep(output: IO[str], said: list[str]) -> None:
    """Read until the process ends, so that it never waits for a reader."""
    said.append(output.read())


@contextmanager
def dashboard_of(store: Path | str, **settings: Any) -> Iterator[Running]:
    """A running dashboard, stopped at the end."""
    running = start_dashboard(store, **settings)
    try:
        yield running
    finally:
        running.kill()


def free_port() -> int:
    """A port that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def request(
    url: str,
    path: str,
    *,
    method: str = "GET",
    body: Any = None,
    headers: dict[str, str] | None = None,
    raw: bytes | None = None,
) -> tuple[int, dict[str, str], bytes]:
    """(status, headers in lower case, body) of a plain HTTP request; no redirect is followed.

    A server without sign-in is asked as who started it, unless `headers` say otherwise.
    """
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
    data = raw if raw is not None else None if body is None else json.dumps(body).encode()
    headers = {"Cookie": OPENED[url], **(headers or {})} if url in OPENED else headers
    try:
        connection.request(method, path, data, headers or {})
        reply = connection.getresponse()
        return reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read()
    finally:
        connection.close()

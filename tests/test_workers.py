"""Threads that compiled code is shared out to."""

import gc
import multiprocessing
import os
import subprocess
import sys
import threading
import time

import pytest
import torch

from tradinghf import MarketEnv
from tradinghf.market import synthetic
from tradinghf.workers import Pace, Team, threads_to_share, torch_threads_lent, usable_cores


def halves(first: int, last: int, numbers: list[int]) -> int:
    total = sum(numbers[first:last])
    if total < 0:
        raise ValueError(f"negative from {first}")
    return total


def test_a_team_returns_every_part_in_order_and_goes_on_after_errors():
    team, cuts = Team(), [(0, 2), (2, 4), (4, 6)]
    assert team.run(halves, cuts, [1, 2, 3, 4, 5, 6]) == [3, 7, 11]
    for bad in ([-9, 2, 3, 4, 5, 6], [1, 2, -9, 4, 5, 6], [1, 2, -9, 4, 5, -9]):
        with pytest.raises(ValueError, match="negative from"):
            team.run(halves, cuts, bad)
        assert team.run(halves, cuts, [1, 2, 3, 4, 5, 6]) == [3, 7, 11]
    assert team.run(halves, cuts[:1], [1, 2]) == [3]


def test_its_threads_end_with_it():
    before = set(threading.enumerate())
    team = Team()
    team.run(halves, [(0, 1), (1, 2), (2, 3)], [1, 2, 3])
    own = set(threading.enumerate()) - before
    assert len(own) == 2
    del team
    gc.collect()
    for thread in own:
        thread.join(10)
        assert not thread.is_alive()


def _equity(env: MarketEnv) -> torch.Tensor:
    return env.step(torch.ones(env.num_envs, dtype=torch.int64))[-1]["equity"]


def _step_in_child(env: MarketEnv, results: multiprocessing.SimpleQueue) -> None:
    results.put(_equity(env).double().sum().item())


@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="no fork on this system"
)
def test_an_environment_steps_on_in_a_forked_process():
    """A fork has none of its parent's threads; whoever waited for one would wait for ever."""
    market = synthetic(seed=0, bars=256, assets=2)
    env = MarketEnv(market, num_envs=4_500, engine="fused", threads=2, seed=0)
    env.reset(seed=0)
    _equity(env)
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    child = context.Process(target=_step_in_child, args=(env, results))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    assert results.get() == pytest.approx(_equity(env).double().sum().item())


def test_several_threads_are_left_where_they_are_slower():
    pace, calls = Pace(), {"several": 0, "alone": 0}

    def one(name: str, seconds: float) -> str:
        calls[name] += 1
        time.sleep(seconds)
        return name

    for _ in range(40):
        pace.run(lambda: one("several", 0.004), lambda: one("alone", 0.0))
    assert calls == {"several": 1 + 3, "alone": 36}  # one to load what there is to load


def test_several_threads_are_kept_where_they_are_faster():
    pace = Pace()
    found = [pace.run(lambda: "several", lambda: time.sleep(0.002)) for _ in range(20)]
    assert found[7:] == ["several"] * 13


def test_what_is_shared_out_is_done_once_by_however_many_threads_pay(monkeypatch):
    monkeypatch.setattr("tradinghf.workers.usable_cores", lambda: 3)
    before, team, done = torch.get_num_threads(), Team(), torch.zeros(10, dtype=torch.int64)

    def mark(first: int, last: int) -> None:
        done[first:last] += 1

    torch.set_num_threads(3)
    try:
        with torch_threads_lent():
            assert (torch.get_num_threads(), threads_to_share()) == (1, 3)
            with torch_threads_lent():  # one lender within another
                assert threads_to_share() == 3
            for _ in range(20):
                team.share(mark, 10, 2)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert done.tolist() == [20] * 10


def test_threads_that_wait_sleep_unless_the_user_wants_them_to_spin():
    """Beside a busy process, spinning made two threads ten times slower than one."""
    ask = "import os, tradinghf; print(os.environ.get('OMP_WAIT_POLICY'))"
    own = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}

    def policy(code: str, **more: str) -> str:
        run = [sys.executable, "-c", code]
        return subprocess.run(
            run, env=own | more, capture_output=True, text=True, check=True
        ).stdout.strip()

    assert policy(ask) == "PASSIVE"
    assert policy(ask, OMP_WAIT_POLICY="active") == "active"
    assert policy("import torch; " + ask) == "None"


def test_usable_cores_are_those_of_the_affinity():
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)

"""The thread that the fused step hands a share of the accounts to."""

import gc
import multiprocessing
import threading
import time

import pytest
import torch

from tradinghf import MarketEnv
from tradinghf.market.synthetic import synthetic
from tradinghf.workers import Worker


def test_a_worker_returns_and_raises_what_its_calls_do():
    worker = Worker()
    worker.start(divmod, 7, 2)
    assert worker.result() == (3, 1)
    worker.start(divmod, 7, 0)
    with pytest.raises(ZeroDivisionError):
        worker.result()
    worker.start(divmod, 9, 2)
    assert worker.result() == (4, 1)


def test_its_thread_ends_with_it():
    before = threading.active_count()
    worker = Worker()
    assert threading.active_count() == before + 1
    del worker
    gc.collect()
    deadline = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before


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

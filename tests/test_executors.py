"""Where tasks run: everywhere the same results, each as soon as it is there."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from support.source import ROOT
from support.spread import WithoutRankings, trained
from support.tasks import divided, ended

from tradinghf import load_market
from tradinghf.bench import measure_coverage, measure_gate
from tradinghf.errors import ConfigError, TradingHFError
from tradinghf.evaluation import sweep, walk_forward_policy
from tradinghf.executors import as_executor, in_order, local, processes
from tradinghf.loop.labels import run_labels
from tradinghf.registry import import_file, loaded_files

DATA = "synthetic:bars=400,seed=3"


def test_results_come_in_any_order_and_are_put_into_theirs() -> None:
    assert list(in_order([(2, "c"), (0, "a"), (1, "b")])) == ["a", "b", "c"]
    assert list(local(divided, 6.0, [1, 2, 3])) == [(0, 6.0), (1, 3.0), (2, 2.0)]


@pytest.mark.parametrize("name", ["dask", "processes:0", "processes:two", "local:2", ""])
def test_an_unknown_executor_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match='expected "local", "processes"'):
        as_executor(name)


def test_processes_give_the_same() -> None:
    run = processes(2)
    assert dict(run(divided, 6.0, [1, 2, 3])) == {0: 6.0, 1: 3.0, 2: 2.0}


@pytest.mark.slow
def test_what_cannot_be_done_elsewhere_is_said() -> None:
    run = processes(1)
    with pytest.raises(ZeroDivisionError):
        list(run(divided, 6.0, [0]))
    with pytest.raises(TradingHFError, match="run it again"):
        list(run(ended, None, [3]))
    with pytest.raises(ConfigError, match="file of their own"):
        list(run(lambda _, task: task, None, [3]))


def test_a_file_that_changed_or_went_does_not_go_along(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("kept.py", "changed.py", "gone.py")]
    for file in files:
        file.write_text("x = 1\n")
        import_file(file, "strategy", ConfigError)
    files[1].write_text("import no_such_module_here\n")
    files[2].unlink()
    there = [path for _, path, _ in loaded_files() if path.startswith(str(tmp_path))]
    assert there == [str(files[0])]


def backwards(work, setting, tasks):
    return [(k, work(setting, tasks[k])) for k in reversed(range(len(tasks)))]


def test_what_spreads_does_not_depend_on_the_order() -> None:
    kinds = ["15 queries to two raters"]
    covers = [measure_coverage(12, names=kinds, executor=e)["rows"] for e in ("local", backwards)]
    assert covers[0] == covers[1]
    gates = [measure_gate(2, executor=e) for e in ("local", backwards)]
    assert gates[0] == gates[1]
    walks = [
        walk_forward_policy(trained, load_market(DATA), train_bars=150, test_bars=80, executor=e)
        for e in ("local", backwards)
    ]
    assert walks[0].windows.equals(walks[1].windows)


@pytest.mark.slow
def test_files_of_users_go_along(tmp_path: Path) -> None:
    rule = tmp_path / "mine.py"
    rule.write_text(
        textwrap.dedent('''
            import numpy as np
            from tradinghf import strategy

            @strategy
            def rising(market, *, bars: int = 5):
                """Hold what rose.

                Args:
                    bars: look back [bars].
                """
                close = market.close
                past = np.vstack([close[:bars], close[:-bars]])
                return np.where(close > past, 1.0, 0.0)
        ''')
    )
    two, market = "processes:2", load_market(DATA)
    here, there = (sweep(rule, market, {"bars": range(1, 99)}, executor=e) for e in ("local", two))
    assert here.table.equals(there.table)

    trader = tmp_path / "desk.py"
    trader.write_text("def calm(e):\n    return e.net_return - 2 * e.drawdown.max(axis=-1)\n")
    bench = WithoutRankings(traders=(f"{trader}:calm",))
    rows = run_labels(bench, tmp_path / "labels", executor=two)
    assert [row["kind"] for row in rows] == ["pnl", "true"]
    assert rows[1]["trader"] == f"{trader}:calm"
    assert rows[1]["utility_pnl"]  # the policy on PnL came along
    assert run_labels(bench, tmp_path / "here") == rows


@pytest.mark.extra("ray")
@pytest.mark.slow
def test_a_cluster_of_two_machines_loses_nothing_with_one_of_them(tmp_path: Path) -> None:
    """In a process of its own: Ray starts several, and warns in ways that fail tests."""
    script = tmp_path / "two.py"
    script.write_text(
        textwrap.dedent(f"""
            import time
            from pathlib import Path
            from ray.cluster_utils import Cluster
            import ray
            from tradinghf.executors import ray as spread
            from support.spread import WithoutRankings
            from tradinghf.loop.labels import run_labels

            def place(setting, task):
                time.sleep(setting)
                return task, ray.get_runtime_context().get_node_id()

            cluster = Cluster(initialize_head=True, head_node_args={{"num_cpus": 1}})
            second = cluster.add_node(num_cpus=1)
            ray.init(address=cluster.address, log_to_driver=False)
            cluster.wait_for_nodes()
            nodes, seen = set(), []
            for number, (task, node) in spread("auto")(place, 0.3, list(range(12))):
                assert number == task
                nodes.add(node)
                seen.append(task)
                if len(nodes) == 2 and second is not None:
                    cluster.remove_node(second, allow_graceful=False)
                    second = None
            assert second is None and sorted(seen) == list(range(12)), (second, seen)
            bench = WithoutRankings()
            here = run_labels(bench, Path({str(tmp_path / "here")!r}))
            there = run_labels(bench, Path({str(tmp_path / "there")!r}), executor="ray:auto")
            assert here == there
            print("nothing lost")
        """)
    )
    done = subprocess.run(
        [sys.executable, script],
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests")))},
    )
    # Not the last line: Ray's own processes may write to the same output while it ends.
    assert "nothing lost" in done.stdout.splitlines(), done.stdout[-2000:] + done.stderr[-3000:]
    assert done.returncode == 0, done.stderr[-3000:]

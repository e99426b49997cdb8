"""The short version of every drill; docs/reliability.md says what the full ones came to."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from drills.__main__ import main
from drills.catalogue import DRILLS
from drills.core import Child, Outcome, in_child
from drills.outputs import arguments
from drills.samples import answer, fill_store, flawed
from drills.training import longest_write, spread

from tradinghf.cli._app import command_paths, commands
from tradinghf.cli._options import WRITTEN, path_use
from tradinghf.feedback.store import Store

NOT_HERE = 3
SLOW = {"train-kill", "ddp-rank-kill", "outputs", "arguments", "bombs", "flood"}
NAMES = [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in DRILLS]


@pytest.mark.parametrize("name", NAMES)
def test_the_short_drill_keeps_its_promise(name: str, tmp_path: Path, root: Path) -> None:
    """In a process of its own: drills fork, and pytest-xdist's workers have threads."""
    outcome = tmp_path / "outcome.json"
    result = subprocess.run(
        [sys.executable, str(root / "tests" / "drills"), name, "--json", str(outcome)],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if result.returncode == NOT_HERE:
        pytest.skip(result.stdout.strip().splitlines()[-1])
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    found = json.loads(outcome.read_text())
    assert found["cases"] > 0
    assert found["passed"] == found["cases"]
    assert "PASSED" in result.stdout.splitlines()[-1]


def test_the_list_and_unknown_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert set(DRILLS) <= {line.split()[0] for line in capsys.readouterr().out.splitlines()}
    assert main(["trian-kill"]) == 2
    assert "Did you mean 'train-kill'" in capsys.readouterr().err


def test_every_path_of_a_command_says_whether_it_is_written() -> None:
    """Or the drill of outputs, and the try before the work, would pass it over."""
    silent = []
    for words, function in command_paths(commands()):
        use = path_use(function)
        silent += [(*words, name) for name, what in use.items() if not what]
        about = re.findall(
            r"^ {8}(\w+): (?:Also )?[Ww]rites? ", function.__doc__ or "", re.MULTILINE
        )
        silent += [(*words, name) for name in about if use.get(name) != WRITTEN]
    assert silent == []
    assert len(list(arguments())) >= 33


def test_an_outcome_counts_what_failed() -> None:
    assert Outcome(3).ok
    assert not Outcome(0).ok  # nothing was tried
    assert not Outcome(3, ("one",)).ok
    assert Outcome(3, ("one",)).passed == 2


def test_children_tell_die_and_fail() -> None:
    assert in_child(lambda tell: tell("hello")) == (0, ["hello"])
    code, lines = in_child(lambda tell: tell(str(1 // 0)))
    assert (code, lines) == (1, [])
    child = Child(lambda tell: [tell("x") for _ in iter(int, 1)])
    assert child.line() == "x"
    child.kill()
    child.rest()
    assert child.wait() == -9


def test_the_judge_of_answers_sees_each_kind_of_loss(tmp_path: Path) -> None:
    ids = fill_store(tmp_path)
    with Store(tmp_path) as store:
        for index in range(3):
            store.submit(answer(ids, "ann", index))
    keys = {answer(ids, "ann", index).key for index in range(3)}
    assert flawed(tmp_path, keys, keys) == []
    assert flawed(tmp_path, keys | {"ann:9"}, keys) == ["acknowledged answer ann:9 is lost"]
    assert flawed(tmp_path, keys, keys - {"ann:1"}) == ["answer ann:1 was never sent"]
    next(tmp_path.rglob("*.safetensors")).unlink()
    assert "is missing" in flawed(tmp_path, keys, keys)[0]


def test_the_steps_of_the_longest_write_are_found() -> None:
    names = ["os.mkdir", "os.mkdir", "open", "fsync", "os.mkdir", "open", "open", "fsync"]
    assert longest_write(names) == [5, 6, 7, 8]
    assert spread(list(range(10)), 5) == [0, 2, 4, 6, 8]


def test_every_promise_names_a_drill_or_a_test_that_is_there(root: Path) -> None:
    promises = runpy.run_path(str(root / "scripts" / "promises.py"))["PROMISES"]
    assert len({promise for _, promise, _ in promises}) == len(promises)
    for where, promise, shown in promises:
        assert where == "SECURITY" or (root / "docs" / f"{where}.md").is_file()
        for word in shown.split(", "):
            path, _, name = word.partition("::")
            found = (root / "tests" / path).read_text() if path.endswith(".py") else ""
            there = f"def {name}(" in found if name else path in DRILLS or bool(found)
            assert there, f"{promise}: there is no {word}"


def test_the_page_is_up_to_date(root: Path) -> None:
    result = subprocess.run(
        [sys.executable, str(root / "scripts" / "reliability.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    for path in (root / "docs" / "reliability").glob("*.json"):
        found = json.loads(path.read_text())
        assert found["drill"] in DRILLS
        assert found["passed"] == found["cases"], f"{path.name} reports a broken promise"

"""The tours of docs/architecture.md are true: their stops exist, and are passed in that order."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import pytest
import torch
from support.source import PACKAGE, ROOT, Module, defined, modules

from tradinghf import RLHF, EnvConfig, MarketEnv, load_market
from tradinghf.feedback.store import Store
from tradinghf.learning.config import PPOConfig, RLHFConfig

PLACE = re.compile(r"`([\w/]+\.(?:py|js)):([\w.]+)`")
CONTINUOUS = EnvConfig(horizon=16, actions="continuous")
PLAIN = PPOConfig(hidden=(8,), head="beta")  # which the reference update learns
SMALL = RLHFConfig(rankings=3, rounds=1, steps=200, windows=4, ppo=PLAIN)


def section(title: str) -> str:
    """The text of a section of the page."""
    page = (ROOT / "docs" / "architecture.md").read_text()
    (text,) = re.findall(rf"^## {re.escape(title)}[^\n]*\n(.*?)(?=^## |\Z)", page, re.M | re.S)
    return text


def stops(title: str) -> list[str]:
    """ "file.py:function" of each numbered stop."""
    lines = re.findall(r"^\d+\. (.*)$", section(title), re.M)
    return [":".join(found.groups()) for line in lines if (found := PLACE.search(line))]


def exists(file: str, name: str) -> bool:
    """Whether a file of the package, or of the checkout, defines a name."""
    path = next((p for p in (PACKAGE / file, ROOT / file) if p.is_file()), None)
    if path is None:
        return False
    if path.suffix != ".py":
        return re.search(rf"\b{re.escape(name)}\b", path.read_text()) is not None
    return name in defined(Module("", path, path.read_text()).tree)


def passed(wanted: list[str], journey: Callable[[], object]) -> list[str]:
    """Those of the wanted functions that are called, in the order of the calls."""
    codes, calls, root = set(wanted), [], f"{PACKAGE}/"

    def profile(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and (code.co_filename or "").startswith(root):
            name = f"{code.co_filename[len(root) :]}:{code.co_qualname}".replace(".<locals>", "")
            if name in codes:
                calls.append(name)

    sys.setprofile(profile)
    try:
        journey()
    finally:
        sys.setprofile(None)
    return calls


def assert_in_order(wanted: list[str], calls: list[str]) -> None:
    rest = iter(calls)
    missed = [stop for stop in wanted if stop not in rest]
    assert not missed, f"not passed in this order: {missed}"


def test_every_place_on_the_page_exists() -> None:
    found = PLACE.findall((ROOT / "docs" / "architecture.md").read_text())
    assert len(found) >= 40
    assert not [f"{file}:{name}" for file, name in found if not exists(file, name)]


@pytest.mark.parametrize("place", ["market/_data.py:MarketDate", "market/prices.py:MarketData"])
def test_a_place_that_does_not_exist_is_found(place: str) -> None:
    assert not exists(*place.split(":"))


def test_one_ranking_passes_the_stops_from_submit_to_gradient(tmp_path: Path) -> None:
    wanted = stops("One ranking, from submit to gradient")
    assert 5 <= len(wanted) <= 12
    env = MarketEnv(load_market("synthetic:bars=600"), num_envs=8, config=CONTINUOUS)
    with Store(tmp_path / "first") as store:
        RLHF(env, trader="drawdown", config=SMALL, store=store).train()
        answers = [dataclasses.replace(r, key=f"again-{r.key}", query="") for r in store.rankings()]
        episodes = list(store.episodes())
    with Store(tmp_path / "second") as store:
        store.add_episodes(episodes)
        loop = RLHF(env, config=SMALL, store=store)

        def journey() -> None:
            for answer in answers:
                store.submit(answer)
            loop.train()

        assert_in_order(wanted, passed(wanted, journey))


def test_one_bar_passes_the_stops_from_csv_to_fill(tmp_path: Path) -> None:
    wanted = stops("One bar, from CSV to fill")
    assert 4 <= len(wanted) <= 8
    rows = [f"2024-01-{d:02d},{d},{d + 1},{d - 0.5},{d + 0.5},100" for d in range(1, 31)]
    (tmp_path / "bars.csv").write_text("\n".join(["date,open,high,low,close,volume", *rows]))
    config = EnvConfig(horizon=4, lookback=2, features=("body",), dtype="float64")
    filled: dict[str, torch.Tensor] = {}

    def journey() -> None:
        env = MarketEnv(load_market(tmp_path / "bars.csv"), config=config, engine="tensor")
        env.reset(options={"start": 9})
        filled.update(env.step_weights(torch.tensor([0.5]))[-1])

    assert_in_order(wanted, passed(wanted, journey))
    assert filled["bar"].item() == 10
    assert filled["price"].item() == 11 * 1.0001  # the open of the bar after row 9, with slippage


def test_the_questions_of_newcomers_have_an_answer_each() -> None:
    rows = re.findall(r"^\| (.+\?) \| (.+) \|$", section("Where is"), re.M)
    assert len(rows) >= 20
    assert not [question for question, answer in rows if not PLACE.search(answer)]


def test_every_room_of_the_table_is_on_the_picture() -> None:
    picture = section("The picture")
    packages = {name.split(".")[1] for name, m in modules().items() if m.is_package and "." in name}
    assert not [name for name in packages if name not in picture]

"""Feedback in the formats of other preference learners: nothing is lost, nothing is invented."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.episodes import random_episode

from tradinghf.cli import main
from tradinghf.config import CostModel, EnvConfig
from tradinghf.errors import EpisodeError, FeedbackError
from tradinghf.feedback import (
    Query,
    Ranking,
    episodes_in_trl,
    fragment_pairs,
    read_fragments,
    read_trl,
    trl_rows,
    write_fragments,
    write_trl,
)
from tradinghf.feedback._fragments import Fragment, rankings_from_fragments
from tradinghf.feedback._pairs import Pair, pairs_of, rankings_of
from tradinghf.feedback._trl import episode_in_words
from tradinghf.feedback.store import Store
from tradinghf.loop import collect, constant_actor
from tradinghf.market import synthetic
from tradinghf.simulation import MarketEnv, Windows

POOL = [random_episode(seed, window=3) for seed in range(6)]
BY_ID = {episode.id: episode for episode in POOL}
IDS = list(BY_ID)


@dataclass(frozen=True)
class TrajectoryWithRew:
    """The fields and checks of imitation 1.0's class, which does not install beside us."""

    obs: np.ndarray
    acts: np.ndarray
    infos: np.ndarray | None
    terminal: bool
    rews: np.ndarray

    def __post_init__(self) -> None:
        assert len(self.obs) == len(self.acts) + 1
        assert self.infos is None or len(self.infos) == len(self.acts)
        assert self.rews.shape == (len(self.acts),)
        assert np.issubdtype(self.rews.dtype, np.floating)


def order(ranking: Ranking) -> dict[str, int]:
    return dict(zip(ranking.episodes, ranking.ranks, strict=True))


def answer(ranks: tuple[int, ...], key: str = "a", **about: Any) -> Ranking:
    return Ranking(key, tuple(IDS[: len(ranks)]), ranks, **about)


weak_orders = st.lists(st.integers(1, 6), min_size=2, max_size=6).map(tuple)


@settings(max_examples=60, deadline=None)
@given(st.lists(weak_orders, min_size=1, max_size=4))
def test_pairs_give_back_every_weak_order(orders: list[tuple[int, ...]]) -> None:
    rankings = [answer(ranks, f"key {i}", rater="ann") for i, ranks in enumerate(orders)]
    pairs = list(pairs_of(rankings))
    assert len(pairs) == sum(len(r) * (len(r) - 1) // 2 for r in orders)
    assert [order(r) for r in rankings_of(pairs)] == [order(r) for r in rankings]
    strict = [p for p in pairs if p.preference != 0.5]
    decided = [r for r in rankings if max(r.ranks) > 1]
    assert [order(r) for r in rankings_of(strict)] == [order(r) for r in decided]
    assert {r.rater for r in rankings_of(pairs)} == {"ann"}


def test_skipped_answers_have_no_pairs() -> None:
    skipped = Ranking("s", tuple(IDS[:3]), (), outcome="skipped")
    assert not list(pairs_of([skipped]))


def test_contradicting_pairs_of_one_ranking_are_refused() -> None:
    a, b, c = IDS[:3]
    circle = [Pair(a, b, 1.0, "r"), Pair(b, c, 1.0, "r"), Pair(c, a, 1.0, "r")]
    with pytest.raises(FeedbackError, match="contradict each other"):
        rankings_of(circle)


def test_fragments_satisfy_imitation_and_say_who_won() -> None:
    fragments, preferences = fragment_pairs([answer((2, 1, 1))], BY_ID)
    assert preferences.dtype == np.float32
    assert preferences.tolist() == [0.0, 0.0, 0.5]
    assert list(vars(fragments[0][0])) == list(TrajectoryWithRew.__dataclass_fields__)
    for pair in fragments:
        for one in pair:
            TrajectoryWithRew(**vars(one))
    first, episode = fragments[0][0], POOL[0]
    assert first.rews.sum() == pytest.approx(episode.net_return)
    np.testing.assert_allclose(first.obs[:, 2], episode.equity)
    assert first.infos[0]["episode"] == episode.id


def test_npz_round_trip(tmp_path: Path) -> None:
    rankings = [answer((2, 1, 1, 3), "x", rater="ann", session="mon"), answer((1, 1), "y")]
    assert write_fragments(tmp_path / "pairs.npz", rankings, BY_ID) == 7
    back = read_fragments(tmp_path / "pairs.npz")
    assert [(r.key, r.rater, r.session, order(r)) for r in back] == [
        (r.key, r.rater, r.session, order(r)) for r in rankings
    ]
    with np.load(tmp_path / "pairs.npz", allow_pickle=False) as arrays:
        assert arrays["obs"].shape == (4, POOL[0].bars + 1, 4)
        assert arrays["pairs"].max() == 3


@pytest.mark.parametrize("content", [b"", b"PK\x05\x06" + 18 * b"\0", b"not a zip"])
def test_another_file_is_no_npz(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(FeedbackError, match=r"x\.npz is no \.npz of fragment pairs"):
        read_fragments(tmp_path / "x.npz")


def test_objects_in_an_npz_are_not_loaded(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", episode=np.array([{"a": 1}], dtype=object))
    with pytest.raises(FeedbackError, match=r"x\.npz"):
        read_fragments(tmp_path / "x.npz")


def test_episodes_of_different_length_do_not_fit_one_array(tmp_path: Path) -> None:
    other = random_episode(9, length=30)
    ranking = Ranking("k", (IDS[0], other.id), (1, 2))
    with pytest.raises(FeedbackError, match=r"\[24, 30\] bars"):
        write_fragments(tmp_path / "x.npz", [ranking], BY_ID | {other.id: other})


def test_trl_round_trip_is_blind_and_drops_ties_only(tmp_path: Path) -> None:
    rankings = [answer((2, 1, 1), "x", rater="ann"), answer((1, 1), "all tied")]
    assert write_trl(tmp_path / "x.jsonl", rankings, BY_ID) == 2
    rows = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text().splitlines()]
    assert {r["rejected_id"] for r in rows} == {IDS[0]}
    for row in rows:
        text = row["prompt"] + row["chosen"] + row["rejected"]
        assert "random-" not in text, "the source would tell who traded"
        assert "1970" not in text, "so would the date"
        assert row["chosen"] == episode_in_words(BY_ID[row["chosen_id"]])
    back = read_trl(tmp_path / "x.jsonl")
    assert [(r.key, order(r)) for r in back] == [("x", order(rankings[0]))]


def test_description_of_an_episode_holds_its_numbers() -> None:
    episode = POOL[0]
    text = episode_in_words(episode)
    assert f"Net return {100 * episode.net_return:.2f} %" in text
    runs = [part.split(" x") for part in text.split("Positions: ")[1].rstrip(".").split(", ")]
    held = np.concatenate([np.full(int(count), float(level)) for level, count in runs])
    np.testing.assert_allclose(held, episode.position, atol=0.005)


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"chosen": "a", "rejected": "b"}', '{"chosen_id": "a"}', "\xff"]
)
def test_a_bad_trl_line_is_named(tmp_path: Path, line: str) -> None:
    good = next(trl_rows([answer((1, 2))], BY_ID))
    (tmp_path / "x.jsonl").write_text(json.dumps(good) + "\n" + line, encoding="latin-1")
    with pytest.raises(FeedbackError, match=r"x\.jsonl, line 2"):
        read_trl(tmp_path / "x.jsonl")


def test_rows_of_other_programs_are_answers_of_their_own(tmp_path: Path) -> None:
    rows = [{"chosen_id": IDS[0], "rejected_id": IDS[1]}] * 2
    (tmp_path / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    back = read_trl(tmp_path / "x.jsonl")
    assert len({r.key for r in back}) == 2
    assert order(back[0]) == {IDS[0]: 1, IDS[1]: 2}


@pytest.mark.parametrize("kind", ["trl", "imitation"])
def test_an_exported_file_fills_a_store_that_the_import_makes(tmp_path: Path, kind: str) -> None:
    old, new = str(tmp_path / "store"), str(tmp_path / "other")
    with Store(old) as store:
        store.add_episodes(POOL)
        for i in range(3):
            store.submit(answer((3, 1, 2), f"answer-{i}", rater="ann"))
    file = tmp_path / "pairs"
    assert main(["feedback", "export", str(file), "--format", kind, "--store", old]) == 0
    for _ in range(2):  # the second time there is nothing new
        command = ["feedback", "import", str(file), "--format", kind, "--store", new]
        assert main(command) == 0
    with Store(new) as store:
        assert [r.key for r in store.rankings()] == ["answer-0", "answer-1", "answer-2"]
        for ranking in store.rankings():
            assert order(ranking) == order(answer((3, 1, 2)))
            for name in ranking.episodes:
                assert store.episode(name).to_bytes() == BY_ID[name].to_bytes()
        assert store.verify().ok


def test_an_import_of_nonsense_makes_no_store(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text("{}")
    for kind in ("trl", "imitation"):
        command = ["feedback", "import", str(tmp_path / "x.jsonl"), "--format", kind]
        assert main([*command, "--store", str(tmp_path / "new")]) != 0
        assert not (tmp_path / "new").exists()


def test_an_episode_that_was_altered_in_the_file_is_refused(tmp_path: Path) -> None:
    write_trl(tmp_path / "x.jsonl", [answer((1, 2))], BY_ID)
    (row,) = (json.loads(line) for line in (tmp_path / "x.jsonl").read_text().splitlines())
    row["chosen_episode"] = row["rejected_episode"]
    (tmp_path / "x.jsonl").write_text(json.dumps(row))
    with pytest.raises(FeedbackError, match=r"line 1: Episode .* was altered"):
        list(episodes_in_trl(tmp_path / "x.jsonl"))


MARKET = synthetic(0, 300, 2)


def recorded(action: int, asset: int = 1, start: int = 40) -> TrajectoryWithRew:
    """What imitation's rollouts keep of one episode on our environment."""
    env = gymnasium.make("tradinghf/Market-v0", market=MARKET, horizon=12)
    obs, _ = env.reset(seed=0, options={"asset": asset, "start": start})
    steps, observed, over = [], [obs], False
    while not over:
        obs, reward, terminated, truncated, info = env.step(action)
        observed.append(obs)
        steps.append((action, reward, info))
        over = terminated or truncated
    acts, rews, infos = zip(*steps, strict=True)
    return TrajectoryWithRew(
        np.array(observed), np.array(acts), np.array(infos), True, np.array(rews, dtype=float)
    )


def test_comparisons_made_in_imitation_become_rankings_of_real_episodes(tmp_path: Path) -> None:
    long, flat = recorded(4), recorded(2)
    pairs = [(long, flat), (flat, long)]
    likes = np.array([1.0, 0.5], dtype=np.float32)
    rankings, episodes = rankings_from_fragments(pairs, likes, MARKET, rater="ann")
    assert [r.ranks for r in rankings] == [(1, 2), (1, 1)]
    windows = Windows(np.array([1]), np.array([40]))
    env = MarketEnv(MARKET, num_envs=1, config=EnvConfig(horizon=12), costs=CostModel())
    ((own,),) = collect(MARKET, [constant_actor(MARKET, 1.0)], windows, env=env)
    rebuilt = episodes[rankings[0].episodes[0]]
    for name in ("open", "close", "equity", "position", "turnover", "costs", "price"):
        np.testing.assert_allclose(getattr(rebuilt, name), getattr(own, name), err_msg=name)
    assert rebuilt.window == own.window
    with Store(tmp_path / "store") as store:
        store.add_episodes(episodes.values())
        assert all(store.submit(ranking) for ranking in rankings)


def test_fragments_that_are_no_whole_episode_are_refused() -> None:
    whole = recorded(4)
    infos = whole.infos
    assert infos is not None
    cut = replace(
        whole, obs=whole.obs[3:], acts=whole.acts[3:], rews=whole.rews[3:], infos=infos[3:]
    )
    with pytest.raises(EpisodeError, match="whole episode"):
        rankings_from_fragments([(whole, cut)], [1.0], MARKET, rater="ann")
    with pytest.raises(EpisodeError, match="lacks what"):
        rankings_from_fragments([(replace(whole, infos=None), whole)], [1.0], MARKET, rater="ann")
    with pytest.raises(FeedbackError, match="1 pairs have 2"):
        rankings_from_fragments([(whole, whole)], [1.0, 0.0], MARKET, rater="ann")
    with pytest.raises(FeedbackError, match="probability"):
        rankings_from_fragments([(whole, recorded(2))], [7.0], MARKET, rater="ann")


def test_commands_export_what_may_be_learned_from_and_import_it_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with Store("store") as store:
        store.add_episodes(POOL)
        learn, test = Query.of(IDS[:3]), Query.of(IDS[3:], purpose="test")
        store.add_queries([learn, test])
        store.submit(Ranking("l", learn.episodes, (2, 1, 1), query=learn.id))
        store.submit(Ranking("t", test.episodes, (1, 2, 3), query=test.id))
        store.export("all.jsonl")
    for name, kind, count in (("x.npz", "imitation", 3), ("x.jsonl", "trl", 2)):
        assert main(["feedback", "export", name, "--format", kind]) == 0
        assert f"{count} pairs of 1 rankings" in capsys.readouterr().out
        assert main(["feedback", "import", name, "--format", kind]) == 0
        assert "0 new rankings of 1" in capsys.readouterr().out, "they are there already"
        with Store(kind) as other:
            other.add_episodes(POOL)
        for new in (1, 0):
            assert main(["feedback", "import", name, "--format", kind, "--store", kind]) == 0
            assert f"{new} new rankings of 1" in capsys.readouterr().out
        with Store(kind) as other:
            assert order(other.rankings()[0]) == {IDS[0]: 2, IDS[1]: 1, IDS[2]: 1}
    assert main(["feedback", "export", "h.jsonl", "--format", "trl", "--held-out"]) == 0
    assert "3 pairs of 1 rankings" in capsys.readouterr().out
    assert main(["feedback", "export", "own.jsonl"]) == 0
    assert main(["feedback", "import", "own.jsonl", "--store", "new"]) == 0
    assert "2 new rankings" in capsys.readouterr().out
    assert main(["feedback", "import", "h.jsonl", "--format", "trl", "--store", "empty"]) == 0
    assert "1 new rankings of 1 in empty" in capsys.readouterr().out


def test_a_fragment_of_an_episode_keeps_its_path() -> None:
    fragment = Fragment.of(POOL[1])
    np.testing.assert_array_equal(fragment.acts, POOL[1].position)
    np.testing.assert_allclose(1 + fragment.rews.cumsum(), POOL[1].equity[1:])
    np.testing.assert_allclose(fragment.obs[0], [1.0, 0.0, 1.0, 0.0])


def test_plain_winners_and_losers_are_read_whatever_their_columns(tmp_path: Path) -> None:
    a, b = IDS[:2]
    (tmp_path / "x.jsonl").write_text(f'{{"prompt": "p", "chosen": "{a}", "rejected": "{b}"}}\n')
    (tmp_path / "x.csv").write_text(f"winner,loser,rater\n{a},{b},ann\n{b},{a},\n")
    (tmp_path / "y.csv").write_text(f"good,bad\n{b},{a}\n")
    assert [order(r) for r in read_trl(tmp_path / "x.jsonl")] == [{a: 1, b: 2}]
    both = read_trl(tmp_path / "x.csv")
    assert [(r.rater, order(r)) for r in both] == [("ann", {a: 1, b: 2}), ("trl", {b: 1, a: 2})]
    named = read_trl(tmp_path / "y.csv", columns={"winner": "good", "loser": "bad"})
    assert [order(r) for r in named] == [{b: 1, a: 2}]
    with pytest.raises(FeedbackError, match=r"y.csv, row 2: no column of the winner's.*good, bad"):
        read_trl(tmp_path / "y.csv")
    with pytest.raises(FeedbackError, match="Columns best are unknown"):
        read_trl(tmp_path / "y.csv", columns={"best": "good"})

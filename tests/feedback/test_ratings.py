"""Leaderboard and Davidson's model against known answers and independent implementations."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations

import choix
import evalica
import numpy as np
import pytest
from evalica import Winner
from hypothesis import given, settings
from hypothesis import strategies as st

from tradinghf.errors import FeedbackError
from tradinghf.feedback import Leaderboard, Ranking, leaderboard
from tradinghf.feedback._davidson import fit_davidson

Game = tuple[str, str, int]


def duels(games: Iterable[Game]) -> tuple[list[Ranking], dict[str, str]]:
    """Rankings of two episodes each, and their sources: (better, other, tied?)."""
    rankings, sources = [], {}
    for i, (first, second, tied) in enumerate(games):
        names = (f"{i}x", f"{i}y")
        sources |= dict(zip(names, (first, second), strict=True))
        rankings.append(Ranking(f"k{i}", names, (1, 1) if tied else (1, 2)))
    return rankings, sources


def board(games: Iterable[Game], **options: float) -> Leaderboard:
    rankings, sources = duels(games)
    return leaderboard(rankings, sources, **{"resamples": 50, **options})


def random_games(seed: int, size: int, count: int, nu: float) -> list[Game]:
    """Games drawn from Davidson's model with strengths exp(linspace(0, 1.5))."""
    generator = np.random.default_rng(seed)
    strength = np.exp(np.linspace(0, 1.5, size))
    games = []
    for _ in range(count):
        i, j = generator.choice(size, 2, replace=False)
        chances = np.array([strength[i], strength[j], nu * np.sqrt(strength[i] * strength[j])])
        result = generator.choice(3, p=chances / chances.sum())
        games.append((f"s{j}", f"s{i}", 0) if result == 1 else (f"s{i}", f"s{j}", int(result == 2)))
    return games


def logs(table: Leaderboard) -> dict[str, float]:
    """Log strengths, mean 0."""
    return {s.source: (s.rating - 1000) / 400 * np.log(10) for s in table.standings}


# Davidson


def test_two_sources_have_the_closed_form() -> None:
    """3 wins, 1 loss, 2 ties: s_a / s_b = 3, and the share of ties is fitted exactly."""
    table = board([("a", "b", 0)] * 3 + [("b", "a", 0)] + [("a", "b", 1)] * 2, prior=0)
    found = logs(table)
    assert found["a"] - found["b"] == pytest.approx(np.log(3), abs=1e-8)
    expected_ties = table.tie_strength / (np.sqrt(3) + 1 / np.sqrt(3) + table.tie_strength)
    assert expected_ties == pytest.approx(2 / 6, abs=1e-8)


@pytest.mark.parametrize("seed", range(4))
def test_davidson_equals_newmans_algorithm(seed: int) -> None:
    games = random_games(seed, 5, 150, nu=0.8)
    table = board(games, prior=0, resamples=2)
    names = sorted({name for game in games for name in game[:2]})
    oracle = evalica.newman(
        [g[0] for g in games],
        [g[1] for g in games],
        [Winner.Draw if g[2] else Winner.X for g in games],
        tolerance=1e-12,
        limit=100_000,
    )
    theirs = np.log(oracle.scores.reindex(names).to_numpy())
    ours = np.array([logs(table)[name] for name in names])
    assert ours == pytest.approx(theirs - theirs.mean(), abs=1e-6)
    assert table.tie_strength == pytest.approx(2 * oracle.v, abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_without_ties_it_is_bradley_terry(seed: int) -> None:
    games = random_games(seed, 4, 120, nu=0.0)
    pairs = [(int(first[1:]), int(second[1:])) for first, second, _ in games]
    theirs = choix.opt_pairwise(4, pairs, alpha=0, method="Newton-CG", tol=1e-12)
    table = board(games, prior=0, resamples=2)
    ours = np.array([logs(table)[f"s{i}"] for i in range(4)])
    assert ours == pytest.approx(theirs - np.mean(theirs), abs=1e-5)
    assert table.tie_strength == 0


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 6), st.floats(0.1, 5))
def test_the_fit_is_a_stationary_point(seed: int, size: int, prior: float) -> None:
    """At the maximum, observed and expected scores agree, also with the prior's games."""
    generator = np.random.default_rng(seed)
    wins = generator.gamma(0.3, size=(1, size, size)) * (1 - np.eye(size))
    ties = generator.gamma(0.3, size=(1, size, size)) * (1 - np.eye(size))
    ties = ties + ties.swapaxes(1, 2)
    virtual = np.full((1, size, 2), prior)
    theta, nu = fit_davidson(wins, ties, virtual)
    strength = np.exp(theta[0])
    for i in range(size):
        gap = prior - 2 * prior * strength[i] / (strength[i] + 1)
        for j in set(range(size)) - {i}:
            tie = nu[0] * np.sqrt(strength[i] * strength[j])
            games = wins[0, i, j] + wins[0, j, i] + ties[0, i, j]
            share = (strength[i] + tie / 2) / (strength[i] + strength[j] + tie)
            gap += wins[0, i, j] + ties[0, i, j] / 2 - games * share
        assert gap == pytest.approx(0, abs=1e-6)


# Leaderboard


def test_the_order_of_a_clear_case() -> None:
    games = [(a, b, 0) for a, b in combinations("abc", 2) for _ in range(20)]
    table = board(games, resamples=200)
    assert table.sources == ["a", "b", "c"]
    assert [s.place for s in table.standings] == [1, 2, 3]
    assert [(s.best_place, s.worst_place) for s in table.standings] == [(1, 1), (2, 2), (3, 3)]
    assert not any(s.too_close for s in table.standings)
    assert [(s.wins, s.losses, s.ties) for s in table.standings] == [
        (40, 0, 0),
        (20, 20, 0),
        (0, 40, 0),
    ]
    assert table.wins[0, 1] == 1
    assert np.isnan(table.wins[1, 1])
    assert (table.met == 20 * (1 - np.eye(3))).all()
    for standing in table.standings:
        assert standing.low <= standing.rating <= standing.high
    elos = [s.elo for s in table.standings]
    assert elos == sorted(elos, reverse=True)


def test_equal_sources_are_too_close_to_call() -> None:
    table = board([("a", "b", 0), ("b", "a", 0)] * 25, resamples=200)
    assert table.standings[0].too_close
    assert [(s.best_place, s.worst_place) for s in table.standings] == [(1, 2), (1, 2)]
    assert table.ahead[0, 1] == pytest.approx(0.5, abs=0.15)
    assert logs(table)["a"] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("count", "close"), [(1, True), (2, True), (8, False), (20, False)])
def test_few_rankings_are_not_certain(count: int, close: bool) -> None:
    assert board([("a", "b", 0)] * count, resamples=400).standings[0].too_close is close


def test_equal_sources_are_rarely_told_apart() -> None:
    """A nominal 5 % error: over 60 null data sets of 10 duels, at most 9 false calls."""
    generator = np.random.default_rng(0)
    calls = 0
    for seed in range(60):
        games = [("a", "b", 0) if up else ("b", "a", 0) for up in generator.random(10) < 0.5]
        calls += not board(games, resamples=80, seed=seed).standings[0].too_close
    assert calls <= 9


def test_sources_that_never_met_cannot_be_compared() -> None:
    table = board([("a", "b", 0)] * 30 + [("c", "d", 0)] * 30, resamples=100)
    place = {name: i for i, name in enumerate(table.sources)}
    assert table.ahead[place["a"], place["d"]] == 0.5
    assert table.ahead[place["a"], place["b"]] > 0.97
    linked = board([("a", "b", 0)] * 30 + [("b", "c", 0)] * 30, resamples=100)
    assert linked.ahead[0, 2] > 0.97  # a and c only met through b


def test_a_group_counts_less_than_its_pairs() -> None:
    """Four sources in one ranking: 6 pairs of weight 2/4, as 6 duels under twice the prior."""
    generator = np.random.default_rng(0)
    sources = {f"{i}{name}": name for i in range(9) for name in "abcd"}
    rankings, games = [], []
    for i in range(9):
        order = [str(name) for name in generator.permutation(list("abcd"))]
        rankings.append(Ranking(f"k{i}", tuple(f"{i}{name}" for name in order), (1, 2, 3, 4)))
        games += [(a, b, 0) for a, b in combinations(order, 2)]
    grouped = leaderboard(rankings, sources, resamples=10, prior=1)
    duel = board(games, resamples=10, prior=2)
    assert (grouped.rankings, duel.rankings) == (9, 54)
    assert logs(grouped) == pytest.approx(logs(duel), abs=1e-8)


def test_episodes_of_one_source_do_not_play_each_other() -> None:
    sources = {"1": "a", "2": "a", "3": "b"}
    table = leaderboard([Ranking("k", ("1", "2", "3"), (1, 2, 3))], sources, resamples=10)
    assert table.met.tolist() == [[0, 2], [2, 0]]
    alone = leaderboard([Ranking("k", ("1", "2"), (1, 2))], sources, resamples=10)
    assert alone.standings == ()


def test_nothing_ranked_is_an_empty_board() -> None:
    skipped = Ranking("k", ("1", "2"), (), outcome="skipped")
    assert leaderboard([skipped], {"1": "a", "2": "b"}).standings == ()
    assert leaderboard([], {}).sources == []


def test_the_board_depends_on_the_seed_only() -> None:
    games = random_games(0, 4, 60, nu=0.5)
    first, again, other = board(games), board(games), board(games, seed=1)
    assert first.standings == again.standings
    assert [s.rating for s in first.standings] == [s.rating for s in other.standings]
    assert first.standings != other.standings


def test_the_order_of_panels_and_names_does_not_matter() -> None:
    rankings, sources = duels(random_games(1, 3, 40, nu=0.5))
    turned = [Ranking(r.key, r.episodes[::-1], r.ranks[::-1]) for r in rankings]
    one, two = leaderboard(rankings, sources), leaderboard(turned, sources)
    assert one.standings == two.standings


def test_elo_of_one_game_is_the_textbook_step() -> None:
    table = board([("a", "b", 0)])
    assert [s.elo for s in table.standings] == [1004.0, 996.0]  # k = 8, expected score 1/2


def test_what_a_leaderboard_refuses() -> None:
    rankings, sources = duels([("a", "b", 0)])
    with pytest.raises(FeedbackError, match=r"store\.sources\(\)"):
        leaderboard(rankings, {"0x": "a"})
    for options in ({"resamples": 1}, {"level": 1.0}, {"prior": -1.0}):
        with pytest.raises(FeedbackError, match="expected at least 2"):
            leaderboard(rankings, sources, **options)

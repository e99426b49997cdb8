"""Agreement against evalica, and what a rater's record counts."""

from __future__ import annotations

import evalica
import numpy as np
import pandas as pd
import pytest

from tradinghf.feedback import Query, Ranking, rater_agreement, rater_quality, repeat_consistency


def say(key: str, rater: str, ids: str, ranks: tuple[int, ...], **rest: object) -> Ranking:
    return Ranking(key, tuple(ids), ranks, rater=rater, **rest)  # type: ignore[arg-type]


def noisy(seed: int, noise: float, raters: int = 3, queries: int = 40) -> list[Ranking]:
    """Raters who see the same utilities with noise, some missing, some ties."""
    generator = np.random.default_rng(seed)
    found = []
    for q in range(queries):
        utility = generator.normal(size=3)
        for r in range(raters):
            if generator.random() < 0.3:
                continue
            seen = utility + noise * generator.normal(size=3)
            ranks = tuple(int(1 + (np.round(seen, 1) > np.round(x, 1)).sum()) for x in seen)
            ids = tuple(f"q{q}e{i}" for i in generator.permutation(3))
            order = [int(name[-1]) for name in ids]
            found.append(Ranking(f"{q}:{r}", ids, tuple(ranks[i] for i in order), rater=f"r{r}"))
    return found


@pytest.mark.parametrize("seed", range(4))
def test_alpha_equals_evalica_on_both_directions_of_each_pair(seed: int) -> None:
    rankings = noisy(seed, noise=0.8)
    cells: dict[tuple[str, str], dict[str, int]] = {}
    for ranking in rankings:
        for first, second, sign in ranking.pairs():
            cells.setdefault((first, second), {})[ranking.rater] = sign
            cells.setdefault((second, first), {})[ranking.rater] = -sign
    oracle = evalica.alpha(pd.DataFrame(cells, dtype=float), distance="interval")
    found = rater_agreement(rankings)
    assert found.alpha == pytest.approx(oracle.alpha, abs=1e-9)
    assert found.low is not None
    assert found.high is not None
    assert found.low <= oracle.alpha <= found.high


def test_alpha_at_its_ends() -> None:
    same = [say(f"{q}{r}", r, f"{q}abc", (1, 2, 2, 3)) for q in "123456" for r in "xy"]
    assert rater_agreement(same).alpha == pytest.approx(1.0)
    opposed = [
        say(f"{q}{r}", r, f"{q}a", (1, 2) if r == "x" else (2, 1)) for q in "123456" for r in "xy"
    ]
    assert rater_agreement(opposed).alpha == pytest.approx(-1 + 1 / 12)  # -1 + 1/n, n = 24 / 2
    assert abs(rater_agreement(noisy(0, noise=50, queries=300)).alpha or 1) < 0.15
    assert (rater_agreement(noisy(0, noise=0.1)).alpha or 0) > 0.9


def test_alpha_is_undefined_without_two_raters_or_without_preferences() -> None:
    alone = [say(str(q), "x", f"{q}a", (1, 2)) for q in range(5)]
    assert (rater_agreement(alone).alpha, rater_agreement(alone).queries) == (None, 0)
    tied = [say(f"{q}{r}", r, f"{q}a", (1, 1)) for q in "123" for r in "xy"]
    assert (rater_agreement(tied).alpha, rater_agreement(tied).raters) == (None, 2)
    single = [say(r, r, "ab", (1, 2)) for r in "xy"]
    assert rater_agreement(single).low is None
    assert rater_agreement([]).alpha is None


def test_alpha_counts_first_answers_in_any_panel_order() -> None:
    base = [say("1", "x", "ab", (1, 2)), say("2", "y", "ba", (2, 1))]
    changed_mind = say("3", "y", "ab", (2, 1))
    assert rater_agreement([*base, changed_mind]) == rater_agreement(base)
    assert rater_agreement(base).alpha == pytest.approx(1.0)


def test_a_raters_record() -> None:
    gold = Query("g", tuple("pqr"), "gold", answer=(1, 1, 2))
    learn = Query("l", tuple("abc"))
    answers = [
        say("1", "ann", "abc", (1, 2, 3), query="l", seconds=1.0),
        say("2", "ann", "cab", (3, 1, 1), query="again", seconds=5.0),  # ab tied now
        say("3", "ann", "rqp", (3, 1, 2), query="g", seconds=9.0),  # both strict pairs right
        say("4", "ann", "xy", (), outcome="skipped"),
        say("5", "ann", "xz", (), outcome="cant_tell", seconds=2.0),
        say("6", "bob", "abc", (1, 3, 2), query="l"),
        say("7", "bob", "pqr", (2, 1, 2), query="g"),  # p not above r
    ]
    ann, bob = rater_quality(answers, [gold, learn])
    assert (ann.rater, ann.answers, ann.skipped, ann.cant_tell) == ("ann", 5, 1, 1)
    assert ann.ties == pytest.approx(1 / 9)
    assert ann.median_seconds == 3.5
    assert ann.too_fast == pytest.approx(1 / 4)
    assert (ann.consistency, ann.repeats) == (pytest.approx(2 / 3), 1)
    assert (ann.gold_passed, ann.gold) == (1, 1)
    assert (bob.gold_passed, bob.gold) == (0, 1)
    # abc: all but bc alike; pqr: all but pr alike.
    assert ann.agreement == bob.agreement == pytest.approx(4 / 6)
    assert (bob.median_seconds, bob.too_fast, bob.consistency) == (None, None, None)
    assert repeat_consistency(answers) == pytest.approx(2 / 3)
    assert repeat_consistency(answers[3:]) is None
    assert rater_quality(answers, [gold], fast_seconds=6)[0].too_fast == pytest.approx(3 / 4)


def test_consistency_compares_with_the_time_before() -> None:
    answers = [
        say("1", "ann", "ab", (1, 2)),
        say("2", "ann", "ab", (2, 1)),
        say("3", "ann", "ba", (1, 2)),
        say("4", "bob", "ab", (1, 2)),
    ]
    assert repeat_consistency(answers) == 0.5

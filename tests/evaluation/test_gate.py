"""The gate's statistics: harm is let through as rarely as promised, and what is better passes."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from tradinghf.errors import ConfigError
from tradinghf.evaluation import PROFIT, UTILITY, GateConfig, decide, decision_text
from tradinghf.evaluation import _gate as gate
from tradinghf.evaluation._watch import harm_evidence

WORLDS = 1000
LEVEL = 0.05
ALLOWED = LEVEL + 2 * np.sqrt(LEVEL * (1 - LEVEL) / WORLDS)


def markov(rng: np.random.Generator, windows: int, stay: float) -> np.ndarray:
    """[WORLDS, N] two regimes, in which the candidate is better and worse by 3 % a window."""
    state = rng.random(WORLDS) < 0.5
    found = np.empty((WORLDS, windows))
    for n in range(windows):
        state = np.where(rng.random(WORLDS) < stay, state, rng.random(WORLDS) < 0.5)
        found[:, n] = np.where(state, 0.03, -0.03) + 0.04 * rng.standard_normal(WORLDS)
    return found


def skewed(rng: np.random.Generator, windows: int) -> np.ndarray:
    """[WORLDS, N] mean zero: small gains, and one loss of 10 % in fifty windows."""
    lost = rng.random((WORLDS, windows)) < 0.02
    small = 0.003 * rng.standard_normal((WORLDS, windows))
    return np.where(lost, -0.1, 0.1 * 0.02 / 0.98) + small


HARMLESS = {
    "normal": lambda rng, n: 0.05 * rng.standard_normal((WORLDS, n)),
    "fat tails": lambda rng, n: 0.03 * rng.standard_t(3, (WORLDS, n)),
    "rare losses": skewed,
    "regimes": lambda rng, n: markov(rng, n, 0.5),
}


@pytest.mark.parametrize("windows", [16, 40, 100])
@pytest.mark.parametrize("world", HARMLESS)
def test_a_candidate_at_the_edge_of_harm_passes_no_more_often_than_promised(
    world: str, windows: int
) -> None:
    rng = np.random.default_rng(windows)
    p = gate.p_values(HARMLESS[world](rng, windows), 0.1)
    assert (p <= LEVEL).mean() <= ALLOWED


def test_students_t_would_let_rare_losses_through() -> None:
    """Why the worst window is asked for: none of them may have been seen."""
    rng = np.random.default_rng(0)
    seen = skewed(rng, 32)
    t = np.sqrt(32) * seen.mean(axis=1) / seen.std(axis=1, ddof=1)
    assert (t > 1.7).mean() > 0.3
    assert (gate.p_values(seen, 0.1) <= LEVEL).mean() <= ALLOWED


def test_power_grows_with_windows_and_with_the_difference() -> None:
    rng = np.random.default_rng(1)

    def passes(windows: int, gain: float) -> float:
        seen = gain + 0.05 * rng.standard_normal((WORLDS, windows))
        return float((gate.p_values(seen, 0.1) <= LEVEL).mean())

    by_windows = [passes(n, 0.02) for n in (16, 48, 144)]
    by_gain = [passes(48, gain) for gain in (0.0, 0.01, 0.03)]
    assert all(b > a for a, b in pairwise(by_windows))
    assert all(b > a for a, b in pairwise(by_gain))
    assert by_gain[-1] > 0.9


def test_the_bound_is_where_the_p_value_is_the_level() -> None:
    rng = np.random.default_rng(2)
    seen = 0.05 * rng.standard_normal((3, 50)) + 0.01
    bound = gate.lower_bounds(seen, 0.2, LEVEL)
    at = np.diag(np.stack([gate.p_values(seen - b, 0.2 + b) for b in bound]))
    np.testing.assert_allclose(at, LEVEL, atol=2e-3)


def test_windows_that_repeat_each_other_are_less_evidence() -> None:
    rng = np.random.default_rng(3)
    apart = rng.standard_normal((200, 60))
    alike = np.repeat(rng.standard_normal((200, 20)), 3, axis=1)
    assert np.median(gate.spread_factor(alike)) > 1.4 * np.median(gate.spread_factor(apart))


def test_many_harmful_candidates_are_no_way_around_it() -> None:
    rng = np.random.default_rng(4)
    answers = []
    for _ in range(300):
        seen = 0.05 * rng.standard_normal((12, 40))
        answers.append(decide([f"c{i}" for i in range(12)], {PROFIT: seen}).answer == "deploy")
    assert np.mean(answers) <= LEVEL + 2 * np.sqrt(LEVEL * 0.95 / 300)


def test_holm_and_fixed_sequence_on_numbers_checked_by_hand() -> None:
    p = np.array([0.03, 0.001, 0.02, 0.2])
    # 0.001 <= 0.05/4; 0.02 > 0.05/3 ends it.
    assert gate.holm(p, 0.05).tolist() == [False, True, False, False]
    assert gate.holm(np.array([0.03, 0.001]), 0.05).tolist() == [True, True]
    assert gate.fixed_sequence(p, 0.05).tolist() == [True, True, True, False]
    assert gate.fixed_sequence(p[::-1], 0.05).tolist() == [False, False, False, False]


def better(windows: int = 80, gain: float = 0.03, seed: int = 0) -> np.ndarray:
    return gain + 0.05 * np.random.default_rng(seed).standard_normal((1, windows))


def test_each_answer_and_what_it_says() -> None:
    up, down = decide(["mine"], {PROFIT: better()}), decide(["mine"], {PROFIT: -better()})
    assert (up.answer, up.chosen) == ("deploy", "mine")
    assert decision_text(up, "base").startswith("Deploy mine: over 80 windows")
    assert (down.answer, down.chosen) == ("keep", None)
    assert "Keep base" in decision_text(down, "base")
    thin = decide(["mine"], {PROFIT: better(30, 0.01)})
    assert thin.answer == "unclear"
    assert thin.more is not None
    assert thin.more > 30
    text = decision_text(thin, "base")
    assert "Not enough evidence, so keep base" in text
    assert "more would" in text


def test_windows_said_to_be_needed_settle_it_in_most_worlds() -> None:
    rng = np.random.default_rng(5)
    gain, spread = 0.02, 0.05
    needed = gate._needed(gain, spread, 0.1, LEVEL)
    seen = gain + spread * rng.standard_normal((WORLDS, needed))
    assert 0.6 < (gate.p_values(seen, 0.1) <= LEVEL).mean() < 0.9


def test_profit_may_not_fall_for_utility_nor_utility_for_profit() -> None:
    for good, bad in ((PROFIT, UTILITY), (UTILITY, PROFIT)):
        seen = {good: better(seed=1), bad: -better(seed=2)}
        found = decide(["mine"], {m: seen[m] for m in (PROFIT, UTILITY)})
        assert found.answer == "keep"


def test_a_margin_lets_what_is_hardly_worse_through() -> None:
    seen = {PROFIT: better(gain=0.0)}
    assert decide(["mine"], seen).answer == "unclear"
    assert decide(["mine"], seen, GateConfig(margin=0.03)).answer == "deploy"


def test_too_few_windows_never_deploy() -> None:
    found = decide(["mine"], {PROFIT: better(15, 0.5)})
    assert found.answer == "unclear"
    assert "16 are the fewest" in decision_text(found, "base")


def test_candidates_equal_to_the_baseline_settle_nothing() -> None:
    found = decide(["same"], {PROFIT: np.zeros((1, 40))})
    assert found.answer == "unclear"
    assert "no difference that more would settle" in decision_text(found, "base")


@pytest.mark.parametrize("wrong", [{"harm": 0.0}, {"harm": 0.6}, {"margin": -0.1}, {"worst": 0.0}])
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        GateConfig(**wrong)


def test_the_monitor_may_be_looked_at_after_every_window() -> None:
    rng = np.random.default_rng(6)
    for seen in (0.05 * rng.standard_normal((WORLDS, 400)), skewed(rng, 400)):
        evidence = harm_evidence(seen, 0.0, 4 * float(seen.std()))
        assert (evidence.max(axis=1) >= 1 / LEVEL).mean() <= ALLOWED


def test_the_monitor_notices_harm_and_sooner_where_it_is_greater() -> None:
    rng = np.random.default_rng(7)
    noise = 0.05 * rng.standard_normal((500, 400))

    def delay(loss: float) -> float:
        over = harm_evidence(noise - loss, 0.0, 0.2) >= 1 / LEVEL
        return float(np.median(np.where(over.any(axis=1), over.argmax(axis=1) + 1, 401)))

    assert delay(0.05) < delay(0.025) < 100


def test_the_monitor_at_work_on_numbers_checked_by_hand() -> None:
    # A loss of the whole bound: every share of the largest bet wins itself.
    expected = np.mean([1 + share for share in (0.05, 0.1, 0.2, 0.4, 0.8)])
    assert harm_evidence(np.array([-0.2]), 0.0, 0.2)[0] == pytest.approx(expected)
    assert harm_evidence(np.array([0.0]), 0.0, 0.2)[0] == pytest.approx(1.0)

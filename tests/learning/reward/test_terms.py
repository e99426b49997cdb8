"""Terms: thresholds, targets, conditions and path shapes are causal, add up, and are found."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from support import outside_traders
from support.episodes import window_groups

from tradinghf.episodes import EpisodeBatch
from tradinghf.feedback import SyntheticTrader
from tradinghf.learning.config import RewardConfig
from tradinghf.learning.reward import RewardModel, TradePaths
from tradinghf.learning.reward._aspects import ASPECTS
from tradinghf.learning.reward._book_aspects import plain_aspects, rare_aspects
from tradinghf.learning.reward._states import COUNTED, KNOWN, LEVELS, STATES
from tradinghf.learning.reward._terms import (
    FAMILIES,
    Term,
    TermValues,
    candidate_terms,
    learned_terms,
)

PLAIN = RewardConfig(learned=0.0)
GROUPS, HELD = window_groups(40), window_groups(40, seed=1)
EVERYONE = {e.id: e for group in GROUPS + HELD for e in group}
FEW = [e for group in window_groups(3, length=32, seed=2) for e in group]
PATHS = TradePaths.from_episodes(FEW)


def every_term(paths):
    found = dict(candidate_terms(paths, plain_aspects()))
    assert set(found) == set(FAMILIES)
    return [term for terms in found.values() for term in terms]


TERMS = every_term(PATHS)


def trader(name):
    judge = SyntheticTrader("profit")
    judge.function, judge.label = getattr(outside_traders, name), name
    return judge


def held_out_accuracy(model, judge):
    truth = np.stack([judge.utilities(g) for g in HELD])
    scores = np.stack([model.score(g).double().numpy() for g in HELD])
    first, second = np.triu_indices(5, 1)
    real = truth[:, first] - truth[:, second]
    clear = np.abs(real) > 0.02 * truth.std()
    return (np.sign(scores[:, first] - scores[:, second]) == np.sign(real))[clear].mean()


def test_names_are_unique_and_in_plain_words():
    names = [term.name for term in TERMS]
    assert len(names) > 500
    assert len(set(names)) > 0.97 * len(names)  # quantiles may round to one text
    for term in TERMS:
        assert term.says
        assert "_" not in term.says
        assert term.unit > 0


def test_every_term_is_paid_bar_by_bar_and_adds_up():
    measured = TermValues(PATHS)
    totals = measured.totals(TERMS)
    for column, term in enumerate(TERMS):
        paid = measured.per_bar(term)
        assert paid.shape == PATHS.position.shape
        torch.testing.assert_close(paid.sum(-1), totals[:, column], atol=1e-4, rtol=1e-4)


def test_many_terms_together_are_worth_what_each_is_alone():
    """Whether the learned features come last, first, or between the others."""
    measured, named, learned = TermValues(PATHS), TERMS[5:9], learned_terms()[3:6]
    for terms in ([*named, *learned], [*learned, *named], learned, named, [learned[0], named[0]]):
        each = torch.stack([measured.per_bar(term) for term in terms], dim=-1)
        assert torch.equal(measured.rows(terms), each)


def test_no_term_looks_ahead():
    whole = TermValues(PATHS)
    before = [whole.per_bar(term) for term in TERMS]
    generator = torch.Generator().manual_seed(1)
    for t in (1, 9, 20, 31):
        bumped = {}
        for name in ("close", "position", "equity", "turnover", "costs"):
            array = getattr(PATHS, name).clone()
            after = array[:, t + 1 :] if array.shape[1] == 33 else array[:, t:]
            after.mul_(1 + 0.1 * torch.rand(after.shape, generator=generator))
            bumped[name] = array
        changed = TermValues(TradePaths(**bumped))
        for term, values in zip(TERMS, before, strict=True):
            assert torch.equal(changed.per_bar(term)[:, :t], values[:, :t]), term.name


def test_path_shapes_are_what_their_names_say():
    batch = EpisodeBatch.stack(FEW)
    moves = np.diff(batch.equity, axis=-1)
    line = np.linspace(0, 1, 33)
    away = batch.equity - 1 - (batch.equity[:, -1:] - 1) * line
    below = batch.drawdown[:, 1:] > 1e-9
    side = np.sign(batch.position)
    age = outside_traders._age(batch)
    expected = {
        "early_profit": (moves * np.linspace(1, 0, 32)).sum(-1),
        "losses": -np.minimum(moves, 0).sum(-1),
        "under_water": below.mean(-1),
        "longest_under_water": outside_traders._longest(below) / 32,
        "winning_bars": (moves > 1e-9).mean(-1),
        "losing_bars": (moves < -1e-9).mean(-1),
        "losing_streak": outside_traders._longest(moves < -1e-9),
        "best_bar": np.maximum(batch.returns, 0).max(-1),
        "skew": (batch.returns**3).sum(-1),
        "volatility": batch.returns.std(-1),
        "sharpe": batch.returns.mean(-1) / np.sqrt(batch.returns.var(-1) + 1e-6),
        "distance_from_line": np.sqrt(np.square(away[:, 1:]).mean(-1)),
        "long_exposure": np.maximum(batch.position, 0).mean(-1),
        "large_positions": np.square(batch.position).mean(-1),
        "final_position": np.abs(batch.position[:, -1]),
        "reversals": (np.abs(np.diff(side, axis=-1)) > 1).sum(-1),
        "average_age": age.mean(-1),
        "longest_trade": age.max(-1),
    }
    totals = TermValues(PATHS).totals([Term(name) for name in expected])
    for column, (name, value) in enumerate(expected.items()):
        np.testing.assert_allclose(totals[:, column], value, atol=2e-4, rtol=1e-3, err_msg=name)
    assert set(expected) | {"won_trades", "lost_trades", "adding_to_losers"} == set(rare_aspects())


def test_closed_trades_and_added_losers_by_hand():
    close = torch.tensor([[100.0, 110.0, 121.0, 121.0, 110.0, 99.0, 99.0]])
    position = torch.tensor([[1.0, 1.0, 0.0, 0.5, 1.0, 0.0]])
    equity = torch.tensor([[1.0, 1.1, 1.2, 1.2, 1.1, 1.0, 1.0]])
    turnover = torch.tensor([[1.0, 0.0, 1.0, 0.5, 0.5, 1.0]])
    paths = TradePaths(close, position, equity, turnover, torch.zeros(1, 6))
    terms = [Term("won_trades"), Term("lost_trades"), Term("adding_to_losers")]
    torch.testing.assert_close(TermValues(paths).totals(terms), torch.tensor([[1.0, 1.0, 0.5]]))


@pytest.mark.parametrize("form", ["away", "square"])
@pytest.mark.parametrize("size", [0.0, 0.25, 0.5, 1.0])
def test_a_target_for_time_in_the_market_is_paid_at_the_present_pace(form, size):
    """A constant position is paid evenly: rushing to the target earns nothing in advance."""
    position = torch.full_like(PATHS.position, size)
    paths = dataclasses.replace(PATHS, position=position)
    term = Term("time_in_market", form, 0.5)
    paid = TermValues(paths).per_bar(term)
    pace = float(TermValues(paths).base("time_in_market").sum(-1)[0])
    bent = {"away": abs(pace - 0.5) - 0.5, "square": (pace - 0.5) ** 2 - 0.25}[form]
    torch.testing.assert_close(paid, torch.full_like(paid, bent / PATHS.bars), atol=1e-6, rtol=0)


def test_states_and_their_opposites_divide_an_aspect():
    measured = TermValues(PATHS)
    for one, other, level in (
        ("rising20", "falling20", 0.0),
        ("higher", "lower", 0.0),
        ("early", "late", 0.25),
        ("turbulent", "calm", 0.01),
        ("risen", "fallen", 0.0),
    ):
        parts = measured.totals([Term("turnover", state=s, level=level) for s in (one, other)])
        torch.testing.assert_close(parts.sum(-1), PATHS.turnover.sum(-1))
    assert set(LEVELS).isdisjoint(ASPECTS)
    assert all(state.says for state in STATES.values())


def test_what_is_counted_above_and_below_a_threshold_is_the_whole():
    measured = TermValues(PATHS)
    for state in KNOWN:
        knot = float(measured.known(state).median())
        forms = ("while_above", "while_below")
        for base in COUNTED:
            parts = measured.totals([Term(base, form, knot, state) for form in forms])
            torch.testing.assert_close(
                parts.sum(-1), measured.base(base).sum(-1), atol=1e-5, rtol=1e-4
            )


def test_a_condition_is_known_when_its_bar_begins():
    """Of a flat account that then trades, the trade's own bar cannot fulfil the condition."""
    close = torch.tensor([[100.0, 100.0, 105.0, 105.0, 105.0]])
    position = torch.tensor([[0.0, 1.0, 1.0, 0.0]])
    equity = torch.tensor([[1.0, 1.0, 1.05, 1.05, 1.05]])
    turnover = torch.tensor([[0.0, 1.0, 0.0, 1.0]])
    paths = TradePaths(close, position, equity, turnover, torch.zeros(1, 4))
    term = Term("time_in_market", "while_above", 0.03, "the best result so far is")
    torch.testing.assert_close(
        TermValues(paths).per_bar(term), torch.tensor([[0.0, 0.0, 0.25, 0.0]])
    )
    added = TradePaths(
        close, torch.tensor([[0.25, 1.0, 1.0, -1.0]]), equity, turnover + 1, turnover
    )
    found = TermValues(added).base("adding")
    torch.testing.assert_close(found, torch.tensor([[0.0, 0.75, 0.0, 0.0]]))


def test_a_condition_on_the_account_is_found_and_told_in_words():
    judge = SyntheticTrader("profit")
    judge.function, judge.label = risk_is_for_the_rich, "risk_is_for_the_rich"
    model = RewardModel(PLAIN).fit([judge.rank(g, f"q{i}") for i, g in enumerate(GROUPS)], EVERYONE)
    assert held_out_accuracy(model, judge) >= 0.96
    said = [row["sentence"] for row in model.explain() if row["probability"] > 0.5]
    assert any("while the account's result is below" in text for text in said), said


def risk_is_for_the_rich(e):
    poor = e.equity[..., :-1] < 1.015
    return e.net_return - 0.4 * (np.abs(e.position) * poor).mean(axis=-1)


@pytest.mark.parametrize(
    "name",
    [
        "ruinous_drawdown",
        "shorts_only_in_falls",
        "cash_in_turmoil",
        "careful_when_down",
    ],
)
def test_forty_rankings_teach_tastes_outside_the_plain_aspects(name):
    judge = trader(name)
    model = RewardModel(PLAIN).fit([judge.rank(g, f"q{i}") for i, g in enumerate(GROUPS)], EVERYONE)
    assert held_out_accuracy(model, judge) >= 0.96


def test_a_found_threshold_is_told_in_words():
    judge = trader("few_trades")
    model = RewardModel(PLAIN).fit([judge.rank(g, f"q{i}") for i, g in enumerate(GROUPS)], EVERYONE)
    clear = [row for row in model.explain() if row["probability"] > 0.8]
    said = [row["sentence"] for row in clear]
    assert any(text.startswith("One trade beyond 5 trades seems to cost you") for text in said)


@pytest.mark.parametrize("believed", [1.0, 0.75, 0.0])
def test_terms_pay_beyond_the_best_ranked_episode_as_far_as_they_foresee_answers(believed):
    """A taste for many trades: whoever trades in every bar goes beyond all that was ranked."""
    judge = SyntheticTrader("profit")
    judge.function = lambda e: e.net_return + 0.01 * np.maximum((e.turnover > 1e-3).sum(-1) - 5, 0)
    model = RewardModel(PLAIN).fit([judge.rank(g, f"q{i}") for i, g in enumerate(GROUPS)], EVERYONE)
    bent = [i for i in model.active.tolist() if i >= len(model.aspects)]
    assert bent
    wild = window_groups(1, size=1, seed=5)[0][0]
    paths = TradePaths.from_episodes([wild])
    busy = TradePaths(
        paths.close, paths.position, paths.equity, torch.ones_like(paths.turnover), paths.costs
    )
    assert model.believed == 0.0, "no answers were held out"
    model.believed = believed
    start = len(model.active) - len(bent)
    paid = (model.term_values(busy) * model.weights.float())[..., model.active]
    capped = model._capped(paid)
    assert torch.equal(capped[..., :start], paid[..., :start]), "plain aspects have no limit"
    most, total = model.limit[start:].float(), paid[0, :, start:].sum(0)
    assert bool((total > most).any())
    wanted = torch.where(total > most, most + believed * (total - most), total)
    torch.testing.assert_close(capped[0, :, start:].sum(0), wanted, rtol=1e-4, atol=1e-5)

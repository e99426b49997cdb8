"""Sentences about learned values, read back by a second reader and compared with the posterior."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
import torch

from tradinghf.feedback import (
    PROFIT,
    USUAL,
    learned_in_words,
    unclear_sentence,
    value_sentence,
    worth_axis,
)
from tradinghf.learning.reward._explain import value_rows
from tradinghf.learning.reward._terms import Term

NUMBER = r"([\d,]*\.?\d+)"
SURE = re.compile(
    rf"(costs|is worth) you as much as {NUMBER} % of ({PROFIT}|{USUAL}) "
    rf"\(95 % sure: {NUMBER} to {NUMBER} %\)\.$"
)
OPEN = re.compile(
    rf"(?:seems to (cost|be worth) you {NUMBER} % of ({PROFIT}|{USUAL}), "
    r"but (?:even the sign is not sure|perhaps nothing)"
    r"|may cost you something or be worth something): "
    r"anything from (.+) to (.+) is possible \(95 % sure\)\.$"
)
END = re.compile(rf"a (cost|worth) of {NUMBER} %|nothing")


def number(text: str) -> float:
    return float(text.replace(",", ""))


def end(text: str) -> float:
    found = END.fullmatch(text)
    assert found, text
    return 0.0 if text == "nothing" else (-1 if found[1] == "cost" else 1) * number(found[2])


def read(sentence: str) -> tuple[float, float, float]:
    """(weight, low, high) as a reader would understand the sentence."""
    if found := SURE.search(sentence):
        sign = -1 if found[1] == "costs" else 1
        ends = sorted(sign * number(found[i]) for i in (4, 5))
        return sign * number(found[2]), ends[0], ends[1]
    found = OPEN.search(sentence)
    assert found, sentence
    middle = 0.0 if found[2] is None else (-1 if found[1] == "cost" else 1) * number(found[2])
    return middle, end(found[4]), end(found[5])


ENDS = (-5300.0, -253.4, -2.53, -0.11, -0.004, 0.0, 0.004, 0.11, 2.53, 253.4, 5300.0)


@pytest.mark.parametrize(("low", "high"), list(itertools.combinations(ENDS, 2)))
def test_every_interval_is_said_as_it_is(low: float, high: float) -> None:
    for weight in (low, (low + high) / 2, high):
        for yardstick in (PROFIT, USUAL):
            row = {"name": "trades", "says": "one trade", "yardstick": yardstick}
            said = value_sentence(
                row | {"weight": weight, "low": low, "high": high, "probability": 0.9}
            )
            assert yardstick in said or weight == 0
            assert "e+" not in said
            np.testing.assert_allclose(read(said), (weight, low, high), rtol=0.051)
            assert bool(SURE.search(said)) is (low > 0 or high < 0)
            assert ("sign is not sure" in said) is (low < 0 < high and weight != 0)


@pytest.mark.parametrize("profit", [(1.0, 0.05), (1.0, 0.6), (0.02, 0.3), (-1.0, 0.2)])
@pytest.mark.parametrize("other", [(-1.5, 0.1), (-0.8, 0.5), (0.3, 0.1), (0.02, 0.4)])
@pytest.mark.parametrize("chance", [0.3, 0.8, 1.0])
def test_what_a_posterior_believes_is_read_back_from_its_sentences(
    profit: tuple[float, float], other: tuple[float, float], chance: float
) -> None:
    generator = torch.Generator().manual_seed(0)
    draws = torch.randn(4000, 2, generator=generator, dtype=torch.float64)
    draws = draws * torch.tensor([profit[1], other[1]]) + torch.tensor([profit[0], other[0]])
    draws[:, 1] *= torch.rand(4000, generator=generator) < chance
    terms = [Term("profit"), Term("max_drawdown")]
    rows = value_rows(terms, 2, torch.tensor([1.0, chance]), draws, torch.ones(2))
    own = (draws * torch.tensor([term.unit for term in terms])).numpy()
    settled = np.quantile(own[:, 0], 0.025) >= 0.25 * np.median(own[:, 0]) > 0
    yard = own[:, 0] if settled else 0.01
    for row, worth in zip(rows, (own[:, 0], own[:, 1]), strict=True):
        wanted = np.quantile(worth / yard, [0.5, 0.025, 0.975])
        assert row["yardstick"] == (PROFIT if settled else USUAL)
        if row["name"] == PROFIT and settled:
            assert row["sentence"] == "1 % of profit is the yardstick."
        elif row["probability"] < 0.5:
            assert row["sentence"] == unclear_sentence([row])
        else:
            np.testing.assert_allclose(read(row["sentence"]), wanted, rtol=0.051, atol=1e-12)


def test_the_axis_names_the_yardstick() -> None:
    assert worth_axis([{"yardstick": USUAL}]) == f"worth of one unit [% of {USUAL}]"
    assert worth_axis([{"name": "of an older run"}]).endswith("[% of profit]")


def test_no_interval_is_given_where_no_term_is_right() -> None:
    terms = [Term("profit"), Term("max_drawdown")]
    draws = torch.tensor([[1.0, -2.0]], dtype=torch.float64).repeat(100, 1)
    about = (terms, 2, torch.ones(2), draws, torch.ones(2))
    (_, sure), (profit, unsure) = value_rows(*about), value_rows(*about, described=False)
    assert "95 % sure" in sure["sentence"]
    assert (profit["low"], unsure["low"], unsure["high"]) == (None, None, None)
    assert unsure["weight"] == sure["weight"]
    assert "seems to cost you about" in unsure["sentence"]
    assert "no such term foresees your answers" in unsure["sentence"]
    assert "95 %" not in unsure["sentence"]
    assert learned_in_words([profit, unsure]).startswith("You seem to mind")

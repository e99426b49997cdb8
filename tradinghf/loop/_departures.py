"""How often, and when, an overlay departs from its base: a small decision tree in plain words."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeClassifier

from tradinghf.episodes import Floats
from tradinghf.errors import ConfigError
from tradinghf.learning.policy import Policy
from tradinghf.loop._character import percent
from tradinghf.loop._collect import batch_windows, env_like
from tradinghf.market import MarketData, features
from tradinghf.simulation import MarketEnv

_Ints = NDArray[np.int64]
_Bools = NDArray[np.bool_]
_EPISODES = 256
_DEPTH, _LEAST_LEAF = 2, 0.02
_WORTH_SAYING = 0.005  # share of bars
_TELLING = 0.05  # of bars: by so much commoner a departure is where a condition is worth saying
_SAME = 1e-9  # targets that differ by less are the same
_FACTS = (
    "the return of the last 5 bars",
    "the return of the last 20 bars",
    "the fall from the highest close of 20 bars",
    "the volatility of 20 bars (yearly)",
    "the account's drawdown",
    "the base's target",
)
_AT_ZERO = {  # feature -> in words where the threshold is nothing: on this side of it, and beyond
    2: ("the close is the highest of 20 bars", "the close is below the highest of 20 bars"),
    4: ("the account is at its peak", "the account is below its peak"),
}
_WORDS = {"x0": "goes flat", "wait": "keeps what it holds", "x0.5": "cuts size in half"}


def departures(policy: Policy, env: MarketEnv, market: MarketData, seed: int = 0) -> dict[str, Any]:
    """What an overlay does to its base on windows of a market, and when.

    A departure is a bar whose target is not the base's, where either has a position. The tree is
    fitted to the first half of the windows and judged on the other.

    Args:
        policy: of a task with a base.
        env: its training environment.
        market: bars; better those that it was not trained on.
        seed: of the windows.

    Returns:
        JSON values: `text`, and `checked`, how far its condition holds; departs (share of bars
        with a position wanted by either), moves (the share of each), when (the condition),
        share_then, share_else, fidelity (share of bars of the other half that the tree foresees)
        and by_default (what foreseeing always the commoner of the two would).

    Raises:
        ConfigError: the policy has no base.

    """
    overlay = policy.config.overlay
    if overlay is None:
        raise ConfigError("This policy modulates no strategy; only overlays depart from a base.")
    moves, facts, counts, half = _observe(policy, env_like(env, market, _EPISODES), seed)
    departs = moves >= 0
    base = overlay.bases[0]
    share = float(departs[counts].mean()) if counts.any() else 0.0
    found: dict[str, Any] = {"base": base, "departs": share}
    if share < 0.001:
        return found | {"moves": {}, "text": f"It does what {base} does.", "checked": ""}
    names = overlay.moves if policy.config.actions == "discrete" else ()
    kinds = {
        _WORDS.get(name, f"takes {name}"): float((moves[counts] == k).mean())
        for k, name in enumerate(names)
        if (moves[counts] == k).mean() >= _WORTH_SAYING
    } or {"changes the size": found["departs"]}
    found["moves"] = dict(sorted(kinds.items(), key=lambda item: -item[1]))
    judged = counts & ~half
    if not judged.any() or not (counts & half).any():
        # Few bars: all windows begin at one place, and a condition could not be checked.
        unknown = dict.fromkeys(("when", "share_then", "share_else", "fidelity", "by_default"))
        found |= unknown
        return {"text": _text(found), "checked": ""} | found
    tree = DecisionTreeClassifier(
        max_depth=_DEPTH, min_samples_leaf=_LEAST_LEAF, random_state=0
    ).fit(facts[counts & half], departs[counts & half])
    right = tree.predict(facts[judged]) == departs[judged]
    commoner = departs[judged].mean()
    found |= _condition(tree, facts[judged], departs[judged])
    found |= {
        "fidelity": float(right.mean()),
        "by_default": float(max(commoner, 1 - commoner)),
    }
    checked = (
        f"This condition foresees {percent(found['fidelity'])} of bars that it was not made from "
        f"({percent(found['by_default'])} by always saying the same)."
    )
    return {"text": _text(found), "checked": checked if found["when"] else ""} | found


@torch.no_grad()
def _observe(policy: Policy, env: MarketEnv, seed: int) -> tuple[_Ints, Floats, _Bools, _Bools]:
    """[B] move (-1 where it follows), [B, F] facts, [B] whether it counts, [B] first half."""
    windows = batch_windows(env, seed)
    obs, _ = env.reset(
        seed=seed,
        options={"asset": torch.as_tensor(windows.asset), "start": torch.as_tensor(windows.start)},
    )
    told, targets = _market_facts(env.market), env.base_targets
    assert targets is not None
    policy, rows = policy.fresh(), list[tuple[_Ints, Floats, _Bools]]()
    for step in range(env.config.horizon):
        bar, asset = windows.start + step, windows.asset
        actions = policy.act(env.dense(obs))
        wanted = env.targets(actions).double().numpy()[:, 0]
        held = env.state.target.double().numpy()[:, 0]
        wanted = np.where(np.isnan(wanted), held, wanted)
        base = targets[bar, asset, 0]
        state = env.state
        fall = (1.0 - state.ledger.equity / state.peak).double().numpy()[:, 0]
        facts = np.column_stack([told[bar, asset], fall, base])
        differs = np.abs(wanted - base) > _SAME
        move = actions.numpy() if policy.config.actions == "discrete" else np.zeros(len(wanted))
        counts = (np.abs(wanted) > _SAME) | (np.abs(base) > _SAME)
        rows.append((np.where(differs, move, -1), facts, counts))
        obs, *_ = env.step(actions)
    moves, facts, counts = (np.concatenate(part) for part in zip(*rows, strict=True))
    early = windows.start <= np.median(windows.start)
    return moves, facts, counts, np.tile(early, env.config.horizon)


def _market_facts(market: MarketData) -> Floats:
    """[T, A, 4] the market's part of the facts, in plain units."""
    close = market.close
    found = np.zeros((*close.shape, 4))
    for column, bars in enumerate((5, 20)):
        found[bars:, :, column] = close[bars:] / close[:-bars] - 1.0
    padded = np.concatenate([np.repeat(close[:1], 19, axis=0), close])
    top = np.lib.stride_tricks.sliding_window_view(padded, 20, axis=0).max(axis=-1)
    found[..., 2] = 1.0 - close / top
    found[..., 3] = 0.16 * np.exp(features(market, ("volatility_20",))[..., 0])
    return found


def _condition(tree: DecisionTreeClassifier, facts: Floats, departs: _Bools) -> dict[str, Any]:
    """The leaf in which departures are commonest: its condition in words, and how common."""
    leaf = tree.apply(facts)
    shares = {k: float(departs[leaf == k].mean()) for k in np.unique(leaf)}
    chosen = max(shares, key=lambda k: shares[k])
    inside = leaf == chosen
    others = float(departs[~inside].mean()) if len(shares) > 1 else shares[chosen]
    telling = shares[chosen] - others >= _TELLING
    return {
        "when": " and ".join(_path(tree, int(chosen))) if telling else None,
        "share_then": shares[chosen],
        "share_else": others,
    }


def _path(tree: DecisionTreeClassifier, leaf: int) -> list[str]:
    """The conditions from the root to a leaf, in words."""
    inner: Any = tree.tree_
    parent = {
        int(child): (node, side)
        for node in range(inner.node_count)
        for child, side in (
            (inner.children_left[node], 0),
            (inner.children_right[node], 1),
        )
        if child >= 0
    }
    said: list[str] = []
    while leaf in parent:
        node, side = parent[leaf]
        feature, threshold = int(inner.feature[node]), f"{100 * inner.threshold[node]:.1f} %"
        if threshold == "0.0 %" and feature in _AT_ZERO:
            said.append(_AT_ZERO[feature][side])
        else:
            said.append(f"{_FACTS[feature]} is {('at most', 'above')[side]} {threshold}")
        leaf = node
    return said[::-1]


def _text(found: dict[str, Any]) -> str:
    kinds = ", ".join(f"{words} in {percent(share)}" for words, share in found["moves"].items())
    said = [f"It departs from {found['base']} in {percent(found['departs'])} of bars: {kinds}."]
    if found["when"]:
        said.append(
            f"Mostly when {found['when']}: in {percent(found['share_then'])} of such bars, "
            f"against {percent(found['share_else'])} of the others."
        )
    return " ".join(said)

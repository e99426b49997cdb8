"""Train the learned features of episodes that ship with the package.

    python scripts/tastes/train.py [FILE]

A population of made-up traders (`programs.py`) looks at episodes of rules and chance on synthetic
markets. The two networks are trained so that Bayesian linear regression on their outputs, from the
episodes of a few market windows, foresees those traders' worth of other windows' episodes: the
loss is the share of the worth's variance that is left. So the networks learn what tastes have in
common, and the features' scale becomes the prior. A fifth of the windows and a tenth of the
traders are only looked at. Everything comes from one seed; it takes minutes on one core.
"""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from programs import Taste
from safetensors.torch import save_file
from torch import Tensor

from tradinghf.episodes import Episode, EpisodeBatch
from tradinghf.learning.reward import TradePaths
from tradinghf.learning.reward._facts import bar_facts, bar_volatility
from tradinghf.learning.reward._tastes import LAYERS, NETWORKS, WEIGHTS, taste_totals
from tradinghf.loop import Actor, Experiment, collect, env_like, split_market
from tradinghf.loop._collect import distinct_columns, pool_actors
from tradinghf.simulation import random_windows


@dataclass(frozen=True)
class Recipe:
    """Everything that the weights depend on.

    Attributes:
        markets: synthetic regime and seed; the benchmark's seeds are others.
        windows: market windows of each.
        blends: actors that follow one rule and then another.
        group: episodes kept of each window.
        tastes: size of the population.
        hidden, features: widths of each network.
        steps: of Adam.
        rate: its first step size; it falls linearly to nothing.
        known: numbers of windows that a trader's worth is known of.
        shown: episodes known of each.
        asked: windows to be foreseen.
        together: traders in one step.
        seed: of everything.

    """

    markets: tuple[tuple[str, int], ...] = (
        ("momentum", 101),
        ("mean_reversion", 102),
        ("mixed", 103),
        ("mixed", 104),
    )
    windows: int = 120
    blends: int = 9
    group: int = 12
    tastes: int = 1000
    hidden: int = 48
    features: int = 32
    steps: int = 500
    rate: float = 3e-3
    known: tuple[int, ...] = (6, 12, 24, 40)
    shown: int = 5
    asked: int = 12
    together: int = 256
    seed: int = 0


def episodes(recipe: Recipe) -> list[list[Episode]]:
    """[W][G] distinct episodes of each window."""
    rows = []
    for regime, seed in recipe.markets:
        experiment = Experiment(data=f"synthetic:regime={regime}", seed=seed)
        split = split_market(experiment)
        market, rng = split.train, np.random.default_rng(seed)
        env = dataclasses.replace(experiment, envs=recipe.windows).environment(split)
        actors = pool_actors(market, env.config, seed)
        for number in range(recipe.blends):
            one, other = (actors[i].weights for i in rng.choice(len(actors), 2, replace=False))
            pause, late = int(rng.choice([8, 16, 32])), int(rng.integers(2))
            turn = (np.arange(market.bars) // pause + late) % 2
            size = rng.choice([0.5, 1.0])
            actors.append(Actor(f"blend{number}", np.where(turn[:, None] == 0, one, size * other)))
        places = random_windows(market, env.config, recipe.windows, seed)
        found = collect(market, actors, places, env=env_like(env, market, len(places)), seed=seed)
        for row in found:
            columns = distinct_columns(row)
            if len(columns) >= recipe.group:
                kept = rng.choice(columns, recipe.group, replace=False)
                rows.append([row[i] for i in kept])
    return rows


class Population:
    """Facts of the episodes [W, G, L, F], and what N made-up traders think of them [W, G, N]."""

    def __init__(self, recipe: Recipe) -> None:
        rows = episodes(recipe)
        self.shape = (len(rows), recipe.group)
        paths = TradePaths.from_episodes(EpisodeBatch.stack([e for row in rows for e in row]))
        found = bar_facts(paths, float(bar_volatility(paths).mean()))
        rng, worth = np.random.default_rng(recipe.seed), []
        while len(worth) < recipe.tastes:
            seen = self.standard(Taste.draw(rng)(found, self.standard))
            if bool(torch.isfinite(seen).all()) and float(seen.std()) > 0.5:
                worth.append(seen)
        self.facts = torch.stack(tuple(found.values()), -1).unflatten(0, self.shape)
        self.worth = torch.stack(worth, -1).unflatten(0, self.shape)

    def standard(self, values: Tensor) -> Tensor:
        """[W·G] numbers around each window's mean, of one spread."""
        away = values.view(self.shape)
        away = away - away.mean(1, keepdim=True)
        return (away / away.std().clamp(min=1e-6)).flatten()


def fresh_weights(facts: int, recipe: Recipe) -> dict[str, Tensor]:
    """Networks that have learned nothing."""
    generator = torch.Generator().manual_seed(recipe.seed)
    sizes = (facts, *[recipe.hidden] * (LAYERS - 1), recipe.features)
    found = {"scale": torch.ones(len(NETWORKS) * recipe.features)}
    for name in NETWORKS:
        for layer in range(LAYERS):
            width, out = sizes[layer], sizes[layer + 1]
            draw = torch.rand(out, width + 1, generator=generator) * 2 - 1
            found[f"{name}.{layer}.weight"] = draw[:, :-1] / width**0.5
            found[f"{name}.{layer}.bias"] = draw[:, -1] / width**0.5
    return found


def unforeseen(
    people: Population,
    weights: dict[str, Tensor],
    noise: Tensor,
    windows: Tensor,
    tastes: Tensor,
    known: int,
    recipe: Recipe,
    generator: torch.Generator,
) -> Tensor:
    """Share of the worth's variance in other windows that a few known windows do not foresee."""
    order = torch.randperm(len(windows), generator=generator)[: known + recipe.asked]
    chosen = windows[order]
    columns = torch.randperm(people.shape[1], generator=generator)[: recipe.shown]
    worth = people.worth[chosen][..., tastes]
    shown = taste_totals(people.facts[chosen[:known]][:, columns], weights)
    seen = worth[:known][:, columns]
    shown, seen = ((part - part.mean(1, True)).flatten(0, 1) for part in (shown, seen))
    asked = taste_totals(people.facts[chosen[known:]], weights)
    asked = (asked - asked.mean(1, True)).flatten(0, 1)
    truth = worth[known:].flatten(0, 1)
    inner = shown @ shown.T + noise.exp() * torch.eye(len(shown))
    found = asked @ (shown.T @ torch.linalg.solve(inner, seen))
    left = (found - truth).square().mean(0) / truth.square().mean(0).clamp(min=0.05)
    return left.clamp(max=4).mean()


def train(recipe: Recipe) -> dict[str, Tensor]:
    """The trained weights."""
    people = Population(recipe)
    weights = fresh_weights(people.facts.shape[-1], recipe)
    log_scale = torch.zeros_like(weights.pop("scale"))
    noise = torch.tensor(-2.0)
    learned = [*weights.values(), log_scale, noise]
    for part in learned:
        part.requires_grad_()
    generator = torch.Generator().manual_seed(recipe.seed)
    optimiser = torch.optim.Adam(learned, recipe.rate)
    windows, tastes = torch.arange(people.shape[0]), torch.arange(recipe.tastes)
    old, many = 4 * len(windows) // 5, 9 * len(tastes) // 10

    def now() -> dict[str, Tensor]:
        return weights | {"scale": log_scale.exp()}

    for step in range(recipe.steps):
        rate = recipe.rate * min(1, step / 50 + 0.02) * (1 - step / recipe.steps)
        optimiser.param_groups[0]["lr"] = rate
        some = tastes[torch.randperm(many, generator=generator)[: recipe.together]]
        known = recipe.known[step % len(recipe.known)]
        loss = unforeseen(people, now(), noise, windows[:old], some, known, recipe, generator)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learned, 1.0)
        optimiser.step()
        if (step + 1) % 100 == 0:
            with torch.no_grad():
                rest = (windows[old:], tastes[many:], recipe.known[1], recipe, generator)
                fresh = float(unforeseen(people, now(), noise, *rest))
            print(f"step {step + 1}: {float(loss.detach()):.3f} left, {fresh:.3f} of strangers'")  # noqa: T201
            sys.stdout.flush()
    return {name: part.detach().contiguous() for name, part in now().items()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    trained = train(Recipe())
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else WEIGHTS
    save_file(trained, target)
    print(f"{target}: {target.stat().st_size} bytes")  # noqa: T201

"""Settings of everything that learns: frozen dataclasses, standard library only."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, get_args

from tradinghf.errors import NamedOptions, check_memory, check_range, check_setting

Network = Literal["auto", "mlp", "gru", "attention", "assets"]
ContinuousHead = Literal["gaussian", "beta"]
Precision = Literal["float32", "bfloat16"]
Schedule = Callable[[float], float]
"""Of the share of the training that is left, from 1 to 0, as in Stable-Baselines3."""
Kernels = Literal["torch", "triton"]
Graphs = Literal["none", "step", "iteration"]
ATTENTION_HEADS = 4


def _check_seed(seed: object) -> None:
    """Raise `ConfigError` unless a seed is a whole number that every generator takes."""
    ok = isinstance(seed, int) and not isinstance(seed, bool) and 0 <= seed < 2**32
    check_setting(ok, "seed", seed, "a whole number from 0 to 2**32 - 1")


@dataclass(frozen=True)
class AspectConfig(NamedOptions):
    """Prior of the aspect head (`tradinghf.learning.reward._posterior`).

    Attributes:
        max_terms: how many plain aspects besides profit one model may use.
        all_terms: the same when thresholds, conditions and rare aspects are tried as well.
        inclusion: prior probability that an aspect matters.
        mentioned: the same for an aspect that the raters wrote about once.
        again: factor of its odds each time that they name it again; one that the rater confirmed
            as what decided an answer counts as named twice.
        surest: highest probability that naming alone can give.
        shapes, conditions, thresholds, levels, whiles: how many of each further family of terms
            (`tradinghf.learning.reward._terms`) are expected to matter; 0 leaves the family out.
        prior_scales: prior standard deviations of a standardised weight; averaged over.
        profit_prior: prior mean of profit's weight, in prior standard deviations.
        tie_prior_scale: prior standard deviation of the log tie parameter.
        noise: probabilities that a choice was a slip; the likeliest is kept.
        newton_steps: most Newton iterations.
        halvings: most step halvings per iteration.
        tolerance: Newton's method stops when the log posterior gains less [nats].
        models_per_batch: most models fitted at once.
        design: most numbers that describe the choices of models fitted at once (memory).
        exhaustive: up to so many choices every pair of plain aspects is fitted; beyond, the search
            alone finds them.
        drop_below: components this far below the best in log posterior are dropped [nats].
        beam: leading models that each round of the search grows.
        branch: terms tried at each place.
        trials: most models that a round of the search fits, those of the highest score.
        rounds: most rounds of the search.
        enough: the search ends when a round gains less [nats].
        hopeless: terms promising less than minus this are not tried [nats].

    """

    max_terms: int = 3
    all_terms: int = 5
    inclusion: float = 0.15
    mentioned: float = 0.5
    again: float = 3.0
    surest: float = 0.95
    shapes: float = 0.2
    conditions: float = 0.2
    thresholds: float = 0.2
    levels: float = 0.1
    whiles: float = 0.3
    prior_scales: tuple[float, ...] = (1.0, 3.0, 10.0)
    profit_prior: float = 1.0
    tie_prior_scale: float = 5.0
    noise: tuple[float, ...] = (0.02, 0.1)
    newton_steps: int = 30
    halvings: int = 8
    tolerance: float = 1e-3
    models_per_batch: int = 64
    design: int = 1_000_000
    exhaustive: int = 400
    drop_below: float = 10.0
    beam: int = 4
    branch: int = 8
    trials: int = 48
    rounds: int = 6
    enough: float = 0.2
    hopeless: float = 2.0

    def chance(self, named: int) -> float:
        """Prior probability that an aspect matters which the raters named so often."""
        if not named:
            return self.inclusion
        odds = self.mentioned / (1 - self.mentioned) * self.again ** (named - 1)
        return min(odds / (1 + odds), self.surest)


@dataclass(frozen=True)
class PPOConfig(NamedOptions):
    """Proximal policy optimisation.

    Attributes:
        hidden: widths of the hidden layers of actor and critic.
        shared: whether actor and critics share their hidden layers.
        learning_rate: Adam step size at the start; decays linearly to `final_learning_rate`. A
            function of the share of the training that is left, from 1 to 0, takes the place of
            both; so it does for `clip` and for `entropy`.
        final_learning_rate: step size at the end of training.
        epochs: passes over each rollout.
        target_kl: no further pass once the mean KL(old || new) of a pass is above this; None: all
            passes.
        minibatches: gradient steps per pass.
        clip: largest change of the probability ratio.
        gamma: discount per bar.
        gae_lambda: trace decay of the advantage estimate.
        entropy: weight of the entropy bonus at the start; decays linearly to `final_entropy`.
        final_entropy: weight of the entropy bonus at the end.
        value_weight: weight of the critics' loss.
        max_gradient_norm: gradients are scaled down to this norm.
        reference_kl: weight of KL(policy || reference policy), if there is a reference.
        bootstrap: whether the end of an episode by time limit continues with the critic's value
            (a window cut out of ongoing trading) or ends all reward (the episode is the task;
            critics then know which bar of it they judge, while the policy does not).
        network: "mlp", "gru" with a memory of the episode so far, trained over whole sequences,
            "attention" over the bars of the window, or "assets", whose weights are
            shared by the assets of a portfolio; "auto" is "assets" for portfolios, else "mlp".
        head: distribution of continuous actions.
        precision: of the networks' products; parameters, their gradients and the loss are float32.
            "bfloat16" is what GPUs and processors with a matrix unit (AMX) are fast at.
        graphs: what a GPU records once and replays as one launch: "step" is each minibatch's,
            "iteration" everything from the first bar of the rollout to the last step of Adam, on a
            `MarketEnv` whose rollouts are whole episodes (`tradinghf.learning.ppo._graphs`); the
            rollout's table takes its memory twice. Rewards must be tensor operations then. On a
            CPU the same runs through the same copies: for checking only, it is slower.
        kernels: "triton": discounted sums, Adam, and the gradient of a minibatch (two hidden layers
            of up to 128, discrete actions, no reference policy) as Triton kernels on a GPU
            (`tradinghf[gpu]`); the environment's is `MarketEnv(engine="triton")`.
    Source: Schulman et al. 2017 (arXiv:1707.06347); Huang et al. 2022, 37 implementation details.

    """

    hidden: tuple[int, ...] = (64, 64)
    shared: bool = False
    learning_rate: float | Schedule = 1e-3
    final_learning_rate: float = 1e-4
    epochs: int = 4
    target_kl: float | None = None
    minibatches: int = 16
    clip: float | Schedule = 0.2
    gamma: float = 1.0
    gae_lambda: float = 0.95
    entropy: float | Schedule = 0.005
    final_entropy: float = 0.0
    value_weight: float = 0.5
    max_gradient_norm: float = 0.5
    reference_kl: float = 0.0
    bootstrap: bool = False
    network: Network = "auto"
    head: ContinuousHead = "gaussian"
    precision: Precision = "float32"
    graphs: Graphs = "none"
    kernels: Kernels = "torch"

    def __post_init__(self) -> None:
        kinds_of = {"network": Network, "head": ContinuousHead}
        kinds_of |= {"precision": Precision, "graphs": Graphs, "kernels": Kernels}
        for name, kinds in kinds_of.items():
            value, known = getattr(self, name), get_args(kinds)
            check_setting(value in known, f"PPOConfig.{name}", value, f"one of {known}")
        plain, name = self.network in ("auto", "mlp"), f"network={self.network!r}"
        check_setting(
            self.precision == "float32" or plain,
            "PPOConfig.precision",
            self.precision,
            f"float32 for {name}",
        )
        check_setting(
            self.graphs == "none" or plain, "PPOConfig.graphs", self.graphs, f'"none" for {name}'
        )
        check_setting(
            self.network != "attention" or (*self.hidden, 1)[0] % ATTENTION_HEADS == 0,
            "PPOConfig.hidden",
            self.hidden,
            f"a first width divisible by {ATTENTION_HEADS} for network='attention'",
        )
        check_setting(
            self.graphs != "iteration" or self.target_kl is None,
            "PPOConfig.target_kl",
            self.target_kl,
            'None for graphs="iteration", whose number of passes is recorded; "step" stops early',
        )
        remembers = self.network != "gru" or len(self.hidden) >= 1
        check_setting(remembers, "PPOConfig.hidden", self.hidden, "a first width for network='gru'")
        widths = all(width >= 1 for width in self.hidden)
        check_setting(widths, "PPOConfig.hidden", self.hidden, "widths of at least 1")
        for name in ("learning_rate", "clip", "max_gradient_norm", "target_kl"):
            value = getattr(self, name)
            fits = value is None or callable(value) or value > 0
            check_setting(fits, f"PPOConfig.{name}", value, "above 0")
        check_range(self, "final_learning_rate final_entropy value_weight reference_kl", 0)
        if not callable(self.entropy):
            check_range(self, "entropy", 0)
        check_setting(0 < self.gamma <= 1, "PPOConfig.gamma", self.gamma, "in (0, 1]")
        check_setting(
            0 <= self.gae_lambda <= 1, "PPOConfig.gae_lambda", self.gae_lambda, "in [0, 1]"
        )
        check_setting(self.epochs >= 1, "PPOConfig.epochs", self.epochs, "at least 1")
        check_setting(
            self.minibatches >= 1, "PPOConfig.minibatches", self.minibatches, "at least 1"
        )


@dataclass(frozen=True)
class RewardConfig(NamedOptions):
    """The learned reward.

    Attributes:
        aspects: names of the aspects that may matter; None takes all, profit first.
        head: prior of the aspect head.
        learned: prior probability that a taste needs the learned features
            (`tradinghf.learning.reward._tastes`) beside the terms; 0 leaves them out.
        folds: turns in which answers are held out, to weigh the two by what they foresee.
        least_held_out: with fewer answers they are weighed by their evidence instead.
        members: draws from the posterior that stand for its uncertainty M.
        rating_weight: weight of what ratings say, against rankings.
        trust_prior: prior standard deviation of a rater's trust around 1; 0 trusts all alike.
        pessimism: λ of mean - λ·variance; the variance is of the episode's score in units of
            the reference pool's spread, across members.
        across_windows: whether rankings of episodes of different market windows are learned from;
            a rater's answers of that kind are weighed by a trust of their own.
        seed: of the draws.
    Source: Coste et al. 2023 (arXiv:2310.02743) for the variance penalty.

    """

    aspects: tuple[str, ...] | None = None
    head: AspectConfig = field(default_factory=AspectConfig)
    learned: float = 0.5
    folds: int = 3
    least_held_out: int = 8
    members: int = 32
    rating_weight: float = 0.3
    trust_prior: float = 0.5
    pessimism: float = 0.03
    across_windows: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        check_range(self, "folds members", 1)
        check_range(self, "learned rating_weight", 0, 1)
        check_range(self, "trust_prior pessimism", 0)
        _check_seed(self.seed)


@dataclass(frozen=True)
class RLHFConfig(NamedOptions):
    """The loop.

    Attributes:
        rankings: questions asked in all.
        rounds: times that the loop asks; the policy trains in between.
        size: episodes per question K.
        steps: environment steps of PPO in all.
        windows: market windows collected per round.
        uniform: share of the questions that are drawn at random.
        pnl_weight: weight of the sparse PnL stream where the rankings explain nothing; it shrinks
            with the share that the reward model explains. The learned stream's is 1.
        env_weight: weight of the environment's own reward, where `MarketEnv(reward=...)` names one.
        keep: an overlay is chosen on validation bars among those whose mean profit an episode is
            above its base's less this, by at least a standard error [fraction of equity]; None:
            by the rewards alone.
        early: share of the steps before the last answers; the rest trains on what all of them say.
        least_foreseen: warn when fewer fresh comparisons than this share are foreseen.
        checkpoint_seconds: time between checkpoints while the policy trains [seconds].
        imitate: most passes over the trades that people demonstrated, which a policy copies before
            it trains; 0 begins from nothing.
        ppo: settings of PPO.
        seed: of everything random.

    """

    rankings: int = 50
    rounds: int = 4
    size: int = 5
    steps: int = 2_400_000
    windows: int = 48
    uniform: float = 0.2
    pnl_weight: float = 0.5
    env_weight: float = 0.5
    keep: float | None = 0.0025
    early: float = 0.1
    least_foreseen: float = 0.6
    checkpoint_seconds: float = 10.0
    imitate: int = 200
    ppo: PPOConfig = field(default_factory=PPOConfig)
    seed: int = 0

    def __post_init__(self) -> None:
        check_setting(self.imitate >= 0, "imitate", self.imitate, "at least 0")
        check_setting(self.rankings >= 1, "rankings", self.rankings, "at least 1")
        check_setting(self.rounds >= 1, "rounds", self.rounds, "at least 1")
        check_setting(self.steps >= 1, "steps", self.steps, "at least 1")
        check_setting(self.windows >= 1, "windows", self.windows, "at least 1")
        check_setting(2 <= self.size <= 6, "size", self.size, "2 to 6 episodes per question")
        questions = max(self.rankings, self.windows)
        check_memory(1e4 * questions * self.size, f"The episodes of {questions:,} questions")
        check_setting(0 <= self.uniform <= 1, "uniform", self.uniform, "a share in [0, 1]")
        check_setting(0 <= self.early <= 1, "early", self.early, "a share in [0, 1]")
        check_setting(self.pnl_weight >= 0, "pnl_weight", self.pnl_weight, "at least 0")
        check_setting(self.env_weight >= 0, "env_weight", self.env_weight, "at least 0")
        kept = self.keep is None or self.keep >= 0
        check_setting(kept, "keep", self.keep, "at least 0, or None")
        _check_seed(self.seed)

    def schedule(self, iterations: int) -> tuple[list[int], list[int]]:
        """Questions and PPO iterations done by the end of every round."""
        questions = [math.ceil(self.rankings * r / self.rounds) for r in range(1, self.rounds + 1)]
        last = self.rounds - 1
        early = [self.early * r / max(last, 1) for r in range(1, self.rounds)]
        return questions, [round(iterations * share) for share in (*early, 1.0)]

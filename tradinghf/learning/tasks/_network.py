"""A `torch.nn.Module` of one's own as the reward of a task."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tradinghf.errors import FeedbackError
from tradinghf.learning.reward import RankingLikelihood, fresh_copy
from tradinghf.learning.tasks._fragments import Fragments

_MEMBERS, _STEPS = 3, 200
_RATE, _DECAY = 5e-3, 1e-3
_TIE = -1.0  # log tie parameter to begin with


class NetworkReward:
    """An ensemble of copies of a network, trained by the likelihood of the rankings.

    Args:
        network: features [B, l, D + A] of fragments (observation, then action: one-hot if discrete)
            to what each step is worth, [B, l] or [B, l, 1]; or to what the whole fragment is worth,
            [B] or [B, 1]. A score of the whole is paid as it grows.
        inputs: D + A.
        seed: of the first weights.

    Attributes:
        memory: most steps that a payment looks back at; 0 where each step is paid by itself.

    Source: Christiano et al. 2017 (arXiv:1706.03741), section 2.2.3; ties by Davidson-Luce.

    """

    def __init__(self, network: nn.Module, inputs: int, seed: int = 0) -> None:
        self.network, self.inputs, self.seed = network, inputs, seed
        self.members: list[nn.Module] = []
        self.whole, self.memory = False, 0
        self._centre, self._unit = 0.0, 1.0

    @property
    def ready(self) -> bool:
        """Whether there is something to pay by."""
        return bool(self.members)

    def guess(self, pool: Tensor, steps: int) -> NetworkReward:
        """Before any answer: networks that know nothing.

        Args:
            pool: [P, D + A] steps.
            steps: of a fragment.

        Raises:
            FeedbackError: the network takes other features, or gives something else.

        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.members = [fresh_copy(self.network).eval() for _ in range(_MEMBERS)]
        self._look(pool[torch.arange(2 * steps) % len(pool)].view(2, steps, -1))
        return self

    @torch.no_grad()
    def _look(self, features: Tensor) -> None:
        """Find out what the network gives, and whether it looks back."""
        batch, steps, inputs = features.shape
        try:
            found = self.members[0](features)
            shape = list(getattr(found, "shape", [type(found).__name__]))
        except (RuntimeError, TypeError, ValueError, IndexError) as error:
            shape, found = [f"an error: {error}"], None
        self.whole = steps > 1 and shape in ([batch], [batch, 1])
        if not self.whole and shape not in ([batch, steps], [batch, steps, 1]):
            raise FeedbackError(
                f"The reward network {type(self.network).__name__} gives {shape} for features "
                f"[{batch}, {steps}, {inputs}]. Expected a module from features [B, L, {inputs}] "
                "(observation, then action) to one number for each step, [B, L] or [B, L, 1], or "
                "for each fragment, [B]."
            )
        alone = None if self.whole else _steps(self.members[0](features[:, -1:]))[:, 0]
        looks_back = alone is None or not torch.allclose(alone, _steps(found)[:, -1], atol=1e-5)
        self.memory = steps if looks_back else 0

    def fit(self, questions: Fragments, ranks: Tensor, pool: Tensor) -> NetworkReward:
        """Fit; replaces any earlier fit.

        Args:
            questions: the ranked fragments [B, K].
            ranks: [B, K] 1 = best, equal = tied.
            pool: [P, D + A] steps whose spread is the unit of the reward.

        Raises:
            FeedbackError: no question, or a network that gives something else than numbers.

        """
        if not len(ranks):
            raise FeedbackError("No rankings to learn from; expected at least one question.")
        self.guess(pool, questions.mask.shape[-1])
        with torch.random.fork_rng(devices=[]):  # of dropout
            torch.manual_seed(self.seed)
            for member in self.members:
                self._train(member.train(), questions, RankingLikelihood(ranks))
                member.eval()
        self._set_units(questions, pool)
        return self

    def _train(
        self, member: nn.Module, questions: Fragments, likelihood: RankingLikelihood
    ) -> None:
        """Fit one member."""
        log_tie = torch.tensor(_TIE, requires_grad=True)
        weights = [*member.parameters(), log_tie]
        optimiser = torch.optim.Adam(weights, _RATE, weight_decay=_DECAY)
        for _ in range(_STEPS):
            loss = -likelihood(self._score(member, questions), log_tie).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

    @torch.no_grad()
    def _set_units(self, questions: Fragments, pool: Tensor) -> None:
        """What a usual step is paid becomes the unit; its mean, where no length says otherwise."""
        self._centre, self._unit = 0.0, 1.0
        if self.memory:
            lived = questions.mask.double()
            paid = self.scores(questions).mean(0).double() / lived.sum(-1)
        else:
            paid = torch.stack([_steps(m(pool[None]))[0] for m in self.members]).mean(0).double()
        if not bool(paid.isfinite().all()):
            raise FeedbackError(
                f"The reward network {type(self.network).__name__} gives numbers that are not "
                "finite after training. Look at its layers."
            )
        if bool(questions.mask.all()):
            self._centre = float(paid.mean())
        spread = (paid - self._centre).square().mean().sqrt()
        self._unit = float(spread.clamp(min=1e-9))

    def _score(self, member: nn.Module, fragments: Fragments) -> Tensor:
        """[..] worth of fragments."""
        rows = fragments.features.flatten(0, -3)
        mask = fragments.mask.flatten(0, -2)
        if not self.whole:
            worth = (_steps(member(rows)) * mask).sum(-1)
        else:
            worth = rows.new_zeros(len(rows))
            for length in mask.sum(-1).unique().tolist():
                these = mask.sum(-1) == length
                worth[these] = member(rows[these, :length]).reshape(-1)
        return worth.view(fragments.mask.shape[:-1])

    @torch.no_grad()
    def scores(self, fragments: Fragments) -> Tensor:
        """[M, ..] worth of fragments to each member."""
        return torch.stack([self._score(member, fragments) for member in self.members])

    @torch.no_grad()
    def rewards(self, features: Tensor, ended: Tensor) -> Tensor:
        """[S] reward of steps [S, D + A], in units of the pool's spread.

        Args:
            features: of one episode after another.
            ended: [S] whether the next row is of another episode.

        """
        if not self.memory:
            return self._paid(features[:, None])
        start = torch.cat([torch.tensor([True]), ended[:-1]]).nonzero().squeeze(-1)
        here = torch.arange(len(features))
        begun = start[torch.searchsorted(start, here, right=True) - 1]
        first = torch.maximum(begun, here - self.memory + 1).tolist()
        windows = [features[a : b + 1] for a, b in zip(first, here.tolist(), strict=True)]
        return self.latest(windows)

    @torch.no_grad()
    def latest(self, windows: Sequence[Tensor]) -> Tensor:
        """[N] reward of the last step of each window [h, D + A] of an episode."""
        paid = torch.zeros(len(windows))
        sizes = torch.tensor([len(window) for window in windows])
        for size in sizes.unique().tolist():
            rows = (sizes == size).nonzero().squeeze(-1)
            paid[rows] = self._paid(torch.stack([windows[i] for i in rows.tolist()]))
        return paid

    def _paid(self, windows: Tensor) -> Tensor:
        """[B] reward of the last step of windows [B, h, D + A] of one length."""
        total = torch.stack([self._last(m, windows) for m in self.members]).mean(0)
        return (total.reshape(-1) - self._centre) / self._unit

    def _last(self, member: nn.Module, windows: Tensor) -> Tensor:
        if not self.whole:
            return _steps(member(windows))[:, -1]
        now: Tensor = member(windows).reshape(-1)
        before = 0.0 if windows.shape[1] == 1 else member(windows[:, :-1]).reshape(-1)
        return now - before


def _steps(paid: Tensor) -> Tensor:
    """[B, l] of [B, l] or [B, l, 1]."""
    return paid.squeeze(-1) if paid.ndim == 3 else paid

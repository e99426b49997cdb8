"""The usual reward model, as a baseline: a network on pairs of episodes, by Bradley-Terry."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from tradinghf.config import settings_of
from tradinghf.episodes import Episode
from tradinghf.errors import FeedbackError
from tradinghf.feedback import Ranking
from tradinghf.learning.config import RewardConfig
from tradinghf.learning.reward._answers import AnswerTable
from tradinghf.learning.reward._aspects import TREND_BARS
from tradinghf.learning.reward._facts import bar_volatility
from tradinghf.learning.reward._likelihood import RankingLikelihood
from tradinghf.learning.reward._paths import TradePaths, per_episode
from tradinghf.learning.reward._protocol import NEVER_TIED, CalibratedReward

_FACTS = 8
_MEMBERS, _HIDDEN, _STEPS = 3, 64, 300
_RATE, _DECAY = 1e-3, 1e-4


class PlainReward(CalibratedReward):
    """An ensemble of networks [8 -> 64 -> 64 -> 1] per bar, or of one's own, summed over episodes.

    It sees bounded facts of each bar, and is trained by maximum
    likelihood, without aspects, priors, admission or pessimism. Its `explained` stays 0: that it
    fits the answers does not show that it foresees any.
    Source: Christiano et al. 2017 (arXiv:1706.03741), section 2.2.3.

    Args:
        config: its `seed` is of the first weights.
        network: of one's own instead: 8 facts of each bar [B, L, 8] to [B, L] or [B, L, 1]. Each
            member is a copy, whose layers are drawn anew where they can be (`reset_parameters`).

    """

    def __init__(
        self, config: RewardConfig | None = None, *, network: nn.Module | None = None
    ) -> None:
        self.config = settings_of(RewardConfig, config, "config")
        self.network = network
        self._copies: dict[str, tuple[list[nn.Module], list[nn.Module]]] = {}

    def checked(self, bars: int) -> PlainReward:
        """Itself, if a network of one's own takes episodes of so many bars.

        Raises:
            FeedbackError: it does not.

        """
        if self.network is not None:
            _check_output(self.network, torch.zeros(2, bars, _FACTS))
        return self

    def blank(self) -> PlainReward:
        """Networks that have learned nothing."""
        return PlainReward(self.config, network=self.network)

    def fit(self, rankings: Sequence[Ranking], episodes: Mapping[str, Episode]) -> PlainReward:
        """Train on the rankings; as `Reward.fit`. Ratings teach it nothing."""
        table = AnswerTable.of(rankings, episodes, across_windows=self.config.across_windows)
        self.volatility = float(per_episode(table.episodes, bar_volatility).mean().clamp(min=1e-6))
        inputs = per_episode(table.episodes, lambda p: bounded_facts(p, self.volatility))
        inputs, ordered = inputs.float(), table.ordered
        index, ranks, mask = (part[ordered] for part in (table.index, table.ranks, table.mask))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.seed)
            self.networks = [self._member() for _ in range(_MEMBERS)]
            _check_output(self.networks[0], inputs)
            tie = torch.tensor(NEVER_TIED)
            likelihood = RankingLikelihood(ranks, mask)
            for network in self.networks if len(ranks) else ():
                optimiser = torch.optim.Adam(network.parameters(), _RATE, weight_decay=_DECAY)
                network.train()
                for _ in range(_STEPS):
                    scores = _paid(network, inputs).sum(-1)[index]
                    loss = -likelihood(scores, tie).mean()
                    optimiser.zero_grad()
                    loss.backward()
                    optimiser.step()
        for network in self.networks:
            network.eval()  # dropout is for training alone
        with torch.no_grad():
            scores = torch.stack([_paid(n, inputs).sum(-1) for n in self.networks])
        self.temperature = float(scores.std().clamp(min=1e-9))
        self.answers, self.ranked_bars = len(table.ranks), table.commonest_length[0].bars
        return self

    def _member(self) -> nn.Module:
        """A network of the ensemble that has learned nothing."""
        return _network() if self.network is None else fresh_copy(self.network)

    @torch.no_grad()
    def _members(self, paths: TradePaths) -> Tensor:
        """[M, B, L] what each network pays, in its own units."""
        inputs = bounded_facts(paths, self.volatility).float()
        return torch.stack([_paid(network, inputs) for network in self._members_on(inputs.device)])

    def _members_on(self, device: torch.device) -> list[nn.Module]:
        """The networks where bars are paid; copied there once, a fit learns on the host."""
        if device.type == "cpu":
            return self.networks
        source, there = self._copies.get(str(device), (None, self.networks))
        if source is not self.networks:
            there = [copy.deepcopy(network).to(device) for network in self.networks]
            self._copies[str(device)] = (self.networks, there)
        return there

    def rewards(self, paths: TradePaths) -> Tensor:
        """[B, L] mean of the members, in units of the ranked episodes' spread."""
        self._require_fit()
        return self._members(paths).mean(0).to(paths.equity) / self.temperature

    def member_scores(self, episodes: Sequence[Episode]) -> Tensor:
        """[M, B] scores [log-odds]."""
        self._require_fit()
        return per_episode(episodes, lambda p: self._members(p).sum(-1).T).T.double()


def fresh_copy(network: nn.Module) -> nn.Module:
    """A copy of a network, whose layers are drawn anew where they can be (`reset_parameters`).

    In single precision, as what it is shown.
    """
    member = copy.deepcopy(network).float()
    for part in member.modules():
        if callable(reset := getattr(part, "reset_parameters", None)):
            reset()
    return member


def _paid(network: nn.Module, inputs: Tensor) -> Tensor:
    """[B, L] what a network pays for bars [B, L, 8]."""
    paid: Tensor = network(inputs)
    return paid.squeeze(-1) if paid.ndim == inputs.ndim else paid


@torch.no_grad()
def _check_output(network: nn.Module, inputs: Tensor) -> None:
    """One number for each bar.

    Raises:
        FeedbackError: the network takes other inputs, or gives something else.

    """
    batch, bars, facts = inputs[:2].shape
    try:
        found = f"gives {list(_paid(network, inputs[:2]).shape)}"
        fits = _paid(network, inputs[:2]).shape == (batch, bars)
    except (RuntimeError, TypeError, ValueError) as error:
        found, fits = f"fails: {error}", False
    if not fits:
        raise FeedbackError(
            f"The reward network {type(network).__name__} {found}. Expected a module from facts of "
            f"bars [B, L, {facts}] to one number for each bar, [B, L] or [B, L, 1]."
        )


def _network() -> nn.Sequential:
    layers = [nn.Linear(_FACTS, _HIDDEN), nn.Tanh(), nn.Linear(_HIDDEN, _HIDDEN), nn.Tanh()]
    return nn.Sequential(*layers, nn.Linear(_HIDDEN, 1))


def bounded_facts(paths: TradePaths, scale: float) -> Tensor:
    """[B, L, 8] bounded description of each bar: position, account and market, all in [-1, 1].

    Args:
        paths: B paths.
        scale: volatility of one bar in the ranked episodes, a constant: no bar is described by
            what came later.

    """
    move = paths.close.clamp(min=1e-9).log().diff(dim=-1)
    span = scale * TREND_BARS**0.5
    in_hand, best = paths.open_profit, paths.best_open_profit
    past = torch.nn.functional.pad(move, (TREND_BARS, 0)).cumsum(-1)
    trend = past[..., TREND_BARS:] - past[..., : move.shape[-1]]
    progress = torch.linspace(0, 1, paths.bars, device=move.device).expand_as(move)
    columns = (
        paths.position,
        paths.drawdown[..., 1:] / span,
        in_hand / span,
        (best - in_hand) / span,
        paths.returns / scale,
        paths.position * trend / span,
        paths.turnover,
        progress,
    )
    return torch.tanh(torch.stack(columns, dim=-1))

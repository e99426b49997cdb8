"""A loop whose policy trades only if the gate lets it through, on bars that nothing has seen."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from tradinghf.errors import ConfigError
from tradinghf.evaluation import GateConfig
from tradinghf.learning.policy import Policy
from tradinghf.learning.reward import Reward
from tradinghf.loop._gate import Judged, episode_task, gate
from tradinghf.loop._paired import Contender
from tradinghf.loop._training import Training
from tradinghf.market import MarketData, MarketLike, as_market
from tradinghf.simulation import MarketEnv
from tradinghf.strategies import load_strategy


def bars_of(given: MarketLike | None) -> MarketData | None:
    """Bars that a caller may leave out."""
    return None if given is None else as_market(given)


class Gated(ABC):
    """Keeps the test bars of a loop, and decides on them what is to trade.

    Args:
        test_market: unseen bars; None: the gate cannot judge.
        baseline: what trades now.
        look: called before the test market is first looked at.

    Attributes:
        judged: what the gate found; None before `gate`.
        deployed: what is to trade: the baseline, unless the gate let a policy through.

    """

    env: MarketEnv
    training: Training
    reward_model: Reward

    def __init__(
        self,
        test_market: MarketLike | None,
        baseline: Contender | str,
        look: Callable[[], None] | None,
    ) -> None:
        self.test_market = bars_of(test_market)
        self.baseline = load_strategy(baseline) if isinstance(baseline, str) else baseline
        self.judged: Judged | None = None
        self.deployed: Contender = self.baseline
        self._look = look

    @property
    @abstractmethod
    def policy(self) -> Policy:
        """The present policy."""

    @property
    def trained(self) -> Policy:
        """The policy that the gate let through, or else the present one, which may not trade."""
        chosen = self.judged is not None and self.judged.decision.chosen is not None
        return self.deployed if chosen and isinstance(self.deployed, Policy) else self.policy

    def gate(self, config: GateConfig | None = None) -> Judged:
        """May the policy, or another candidate of the training, replace the baseline?

        Windows are as long as the training's episodes. Afterwards `deployed` is what is to trade.

        Args:
            config: what counts as harm.

        Raises:
            ConfigError: there is no test market.

        """
        if self.test_market is None:
            raise ConfigError("RLHF.gate() needs bars that nothing has seen: give test_market=...")
        self.open_test_bars()
        task = episode_task(self.env, self.test_market, self.reward_model)
        policies = self.training.policies(self.policy)
        self.judged = gate(task, policies, self.baseline, config)
        self.deployed = policies.get(self.judged.decision.chosen or "", self.baseline)
        return self.judged

    def open_test_bars(self) -> None:
        """Tell whoever keeps count that the test bars are looked at, once."""
        if self.test_market is not None and self._look is not None:
            self._look()
            self._look = None

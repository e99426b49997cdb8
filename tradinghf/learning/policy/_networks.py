"""Networks that trade: perceptrons, attention over bars, sets of assets; one critic per reward."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tradinghf.errors import ConfigError
from tradinghf.learning.config import ATTENTION_HEADS
from tradinghf.learning.policy._assets import AssetActor, AssetBody, AssetCritic
from tradinghf.learning.policy._heads import Head, head_of, head_over_assets
from tradinghf.learning.policy._memory import GatedMemory, Remembering


class ActorCritic(nn.Module):
    """Actor and S critics.

    Discrete: logits over A actions. Continuous: a squashed Gaussian or a Beta distribution in
    [-1, 1] per dimension. Of a portfolio, either of them for each asset.

    Args:
        inputs: D.
        actions: number of discrete actions, or dimensions of a continuous action.
        streams: S.
        hidden: widths of the hidden layers.
        discrete: kind of the action space.
        shared: whether actor and critics share their hidden layers.
        head: distribution of continuous actions.
        window: (W, F') of the market part of the observation, for attention over its bars; None
            takes the observation as one vector.
        assets: (W, F', K) of a portfolio's assets: bars, features of each, and levels of each (0:
            any number); weights are then shared by the assets, and `inputs` and `actions` only
            say what the network was made for. See `tradinghf.learning.policy._assets`.
        recurrent: whether actor and critics see the memory of a GRU of the first width, in the
            place of observations; they share it. Acting goes through `fresh` then.

    Attributes:
        memory: the GRU; None without one.

    """

    def __init__(
        self,
        inputs: int,
        actions: int,
        streams: int,
        hidden: tuple[int, ...],
        discrete: bool,
        shared: bool = False,
        head: str = "gaussian",
        window: Sequence[int] | None = None,
        assets: Sequence[int] | None = None,
        recurrent: bool = False,
    ) -> None:
        super().__init__()
        self.shape = {
            "inputs": inputs,
            "actions": actions,
            "streams": streams,
            "hidden": list(hidden),
            "discrete": discrete,
            "shared": shared,
            "head": head,
            "window": None if window is None else list(window),
            "assets": None if assets is None else list(assets),
        }
        self.head: Head
        self.memory: GatedMemory | None = None
        if recurrent:  # files of networks without one stay as they were
            self.shape["recurrent"] = True
        if assets is not None:
            self._over_assets(actions, streams, hidden, shared, head, assets)
            return
        self.head = head_of(discrete, head)
        self.actions = actions
        width = inputs if window is None and not recurrent else hidden[0]
        layers = hidden[1:] if recurrent else hidden  # those after the memory

        def body() -> nn.Sequential:
            if window is None:
                return nn.Sequential()
            return nn.Sequential(WindowAttention(window[0], window[1], inputs, width))

        self.trunk = (
            nn.Sequential(*body(), *_hidden_layers(width, layers)) if shared else body()[:0]
        )
        start, widths = (layers[-1], ()) if shared and layers else (width, layers)

        def network(outputs: int, gain: float) -> nn.Sequential:
            first = nn.Sequential() if shared else body()
            return nn.Sequential(*first, *_mlp(start, widths, outputs, gain))

        if recurrent:
            self.memory = GatedMemory(inputs, width)
        self.actor = network(self.head.outputs(actions), 0.01)
        self.critic = network(streams, 1.0)
        learned = not discrete and head == "gaussian"
        self.log_std = nn.Parameter(torch.full((actions,), -0.5), requires_grad=learned)

    def _over_assets(
        self,
        actions: int,
        streams: int,
        hidden: tuple[int, ...],
        shared: bool,
        head: str,
        assets: Sequence[int],
    ) -> None:
        """Layers that are shared by the assets of a portfolio."""
        shape, levels = assets[:2], assets[2]
        self.head = found = head_over_assets(levels, head)
        self.actions = actions * found.choices
        own = [AssetBody(shape[0], shape[1], hidden) for _ in range(1 if shared else 2)]
        self.trunk = nn.Sequential(*(own if shared else ()))
        bodies: list[list[AssetBody]] = [[], []] if shared else [own[:1], own[1:]]
        width = own[0].width
        self.actor = nn.Sequential(*bodies[0], AssetActor(width, found.size, 0.01))
        self.critic = nn.Sequential(*bodies[1], AssetCritic(width, streams))
        learned = not levels and head == "gaussian"
        self.log_std = nn.Parameter(torch.full((1,), -0.5), requires_grad=learned)

    @property
    def by_hand(self) -> bool:
        """Whether all layers are linear with tanh in between, so that passes are written out."""
        plain = self.shape["window"] is None and self.shape["assets"] is None
        return plain and self.memory is None

    def forward(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """`policy_out` and `value_out`, with one pass through what they share."""
        features = self.trunk(obs)
        return self.actor(features), self.critic(features)

    def policy_out(self, obs: Tensor) -> Tensor:
        """[.., O] what the head turns into actions; of memories [.., H] where there are any."""
        out: Tensor = self.actor(self.trunk(obs))
        return out

    def value_out(self, obs: Tensor) -> Tensor:
        """[.., S] critics; of memories [.., H] where there are any."""
        out: Tensor = self.critic(self.trunk(obs))
        return out

    def fresh(self) -> ActorCritic | Remembering:
        """Who acts through one run of episodes: itself, where it has no memory."""
        return self if self.memory is None else Remembering(self)

    @torch.no_grad()
    def act(self, obs: Tensor, deterministic: bool = True, uniform: Tensor | None = None) -> Tensor:
        """Actions for the environment: the mode, or a draw from `uniform` [N, A].

        Raises:
            ConfigError: what it should do depends on what it has seen before.

        """
        if self.memory is not None:
            raise ConfigError(
                "A policy with a memory (PPOConfig(network='gru')) acts through a run of its own: "
                "acting = policy.fresh() where the episodes begin, then acting.act(obs)."
            )
        return self.chosen(obs, deterministic, uniform)

    def chosen(self, seen: Tensor, deterministic: bool, uniform: Tensor | None) -> Tensor:
        """`act` at what actor and critics see: observations, or memories [N, H]."""
        if deterministic:
            return self.head.to_env(self.head.mode(self.policy_out(seen)))
        if uniform is None:
            raise ValueError("A random action needs `uniform` numbers [N, A] from your generator.")
        noise = self.head.noise(uniform)
        return self.head.to_env(self.head.draw(self.policy_out(seen), noise, self.log_std))


def frozen(network: ActorCritic) -> ActorCritic:
    """A copy of a network that no training changes."""
    copy = ActorCritic(**{**network.shape, "hidden": tuple(network.shape["hidden"])})  # type: ignore[arg-type]
    copy.load_state_dict(network.state_dict())
    return copy.to(next(network.parameters()).device).requires_grad_(False)


class WindowAttention(nn.Module):
    """One attention layer over W bars, asked by the account.

    Bars and account are embedded, bars with a learned position; the account's token attends to the
    bars in several heads and keeps what it was (a residual connection). Only the account asks, so
    the cost grows with W and not with its square. Layers are normalised before they are used.

    [.., W*F' + R] -> [.., width], R numbers of the account.

    Args:
        bars: W.
        features: F' per bar.
        inputs: D = W*F' + R.
        width: of the tokens; divisible by the number of heads.

    Source: Vaswani et al. 2017 (arXiv:1706.03762), eq. 1; Xiong et al. 2020 (arXiv:2002.04745) for
    where to normalise.

    """

    def __init__(self, bars: int, features: int, inputs: int, width: int) -> None:
        super().__init__()
        self.bars, self.features = bars, features
        self.bar = nn.Linear(features, width)
        self.account = nn.Linear(inputs - bars * features, width)
        # As large as the embedded features, so that heads can tell bars apart from the start.
        self.position = nn.Parameter(torch.randn(bars, width) / 3**0.5)
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)

    def forward(self, obs: Tensor) -> Tensor:
        """See the class."""
        split = self.bars * self.features
        market = obs[..., :split].unflatten(-1, (self.bars, self.features))
        token = self.account(obs[..., split:])
        bars = self.before(self.bar(market) + self.position)
        key, value = (
            part.unflatten(0, (ATTENTION_HEADS, -1)) for part in self.key_value.weight.chunk(2)
        )
        query = self.query(self.before(token)).unflatten(-1, (ATTENTION_HEADS, -1))
        # q . (K b) = (K' q) . b, and a mean of V b is V of the mean: the one question and the one
        # answer go through the matrices, instead of every bar. What is the same for all bars, as
        # the keys' bias, does not change the weights.
        asked = torch.einsum("...hd,hdk->...hk", query, key)
        weight = (asked @ bars.mT / query.shape[-1] ** 0.5).softmax(-1)  # [.., H, W]
        found = torch.einsum("...hk,hdk->...hd", weight @ bars, value).flatten(-2)
        found = found + self.key_value.bias[found.shape[-1] :]
        kept: Tensor = self.after(token + self.out(found))
        return kept


def _mlp(inputs: int, hidden: tuple[int, ...], outputs: int, gain: float) -> nn.Sequential:
    """Tanh network with orthogonal weights.

    Args:
        gain: scale of the last layer's weights; 0.01 for actors, 1 for critics.
    Source: Andrychowicz et al. 2021 (arXiv:2006.05990), section 3.2.

    """
    width = hidden[-1] if hidden else inputs
    return nn.Sequential(*_hidden_layers(inputs, hidden), _layer(width, outputs, gain))


def _hidden_layers(inputs: int, hidden: tuple[int, ...]) -> nn.Sequential:
    """Linear layers with orthogonal weights, tanh after each."""
    layers: list[nn.Module] = []
    for before, width in zip((inputs, *hidden), hidden, strict=False):
        layers += [_layer(before, width, math.sqrt(2)), nn.Tanh()]
    return nn.Sequential(*layers)


def _layer(inputs: int, outputs: int, gain: float) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer

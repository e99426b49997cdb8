"""Policy networks: an actor with one critic per reward stream, and how they are saved."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from tradinghf.config import EnvConfig
from tradinghf.durable import write_atomic
from tradinghf.errors import CheckpointError
from tradinghf.learning.policy.attention import WindowAttention
from tradinghf.learning.policy.heads import head_of
from tradinghf.market.features import FeatureScaler

FORMAT = "tradinghf-policy-1"


def mlp(inputs: int, hidden: tuple[int, ...], outputs: int, gain: float) -> nn.Sequential:
    """Tanh network with orthogonal weights.

    Args:
        gain: scale of the last layer's weights; 0.01 for actors, 1 for critics.
    Source: Andrychowicz et al. 2021 (arXiv:2006.05990), section 3.2.

    """
    width = hidden[-1] if hidden else inputs
    return nn.Sequential(*hidden_layers(inputs, hidden), _layer(width, outputs, gain))


def hidden_layers(inputs: int, hidden: tuple[int, ...]) -> nn.Sequential:
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


class ActorCritic(nn.Module):
    """Actor and S critics.

    Discrete: logits over A actions. Continuous: a squashed Gaussian or a Beta distribution in
    [-1, 1] per dimension.

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
        }
        self.head = head_of(discrete, head)
        self.actions = actions
        width = inputs if window is None else hidden[0]

        def body() -> nn.Sequential:
            if window is None:
                return nn.Sequential()
            return nn.Sequential(WindowAttention(window[0], window[1], inputs, width))

        self.trunk = nn.Sequential(*body(), *hidden_layers(width, hidden)) if shared else body()[:0]
        start, widths = (hidden[-1], ()) if shared and hidden else (width, hidden)

        def network(outputs: int, gain: float) -> nn.Sequential:
            first = nn.Sequential() if shared else body()
            return nn.Sequential(*first, *mlp(start, widths, outputs, gain))

        self.actor = network(self.head.outputs(actions), 0.01)
        self.critic = network(streams, 1.0)
        learned = not discrete and head == "gaussian"
        self.log_std = nn.Parameter(torch.full((actions,), -0.5), requires_grad=learned)

    def forward(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """`policy_out` and `value_out`, with one pass through what they share."""
        features = self.trunk(obs)
        return self.actor(features), self.critic(features)

    def policy_out(self, obs: Tensor) -> Tensor:
        """[.., O] what the head turns into actions."""
        out: Tensor = self.actor(self.trunk(obs))
        return out

    def value_out(self, obs: Tensor) -> Tensor:
        """[.., S] critics."""
        out: Tensor = self.critic(self.trunk(obs))
        return out

    def sample(self, obs: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """Draw actions from uniform numbers.

        Args:
            obs: [N, D].
            uniform: [N, A] in (0, 1).

        Returns:
            raw actions ([N] indices or [N, A] before squashing) and their log-probabilities [N].

        """
        out = self.policy_out(obs)
        raw = self.head.draw(out, self.head.noise(uniform), self.log_std)
        return raw, self.head.log_prob(out, raw, self.log_std)

    def evaluate(self, obs: Tensor, raw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log-probability [B] of raw actions, entropy [B], values [B, S]."""
        (out, values), log_std = self(obs), self.log_std
        log_prob = self.head.log_prob(out, raw, log_std)
        return log_prob, self.head.entropy(out, log_std), values

    def divergence(self, obs: Tensor, reference: ActorCritic) -> Tensor:
        """[B] KL(self || reference)."""
        out, other = self.policy_out(obs), reference.policy_out(obs)
        return self.head.divergence(out, self.log_std, other, reference.log_std)

    @torch.no_grad()
    def act(self, obs: Tensor, deterministic: bool = True, uniform: Tensor | None = None) -> Tensor:
        """Actions for the environment: the mode, or a draw from `uniform` [N, A]."""
        if deterministic:
            return self.head.to_env(self.head.mode(self.policy_out(obs)))
        if uniform is None:
            raise ValueError("A random action needs `uniform` numbers [N, A] from your generator.")
        return self.head.to_env(self.sample(obs, uniform)[0])


def frozen(network: ActorCritic | None) -> ActorCritic:
    """A copy of a network that no training changes."""
    assert network is not None
    copy = ActorCritic(**{**network.shape, "hidden": tuple(network.shape["hidden"])})  # type: ignore[arg-type]
    copy.load_state_dict(network.state_dict())
    return copy.to(next(network.parameters()).device).requires_grad_(False)


@dataclasses.dataclass(eq=False)
class Policy:
    """A trained network together with the task it was trained for; trades anywhere.

    Attributes:
        network: the actor-critic.
        config: the task: features, lookback, actions, fill.
        scaler: feature normalisation of the training market.
        name: shown in reports, hidden from raters.

    """

    network: ActorCritic
    config: EnvConfig
    scaler: FeatureScaler
    name: str = "policy"

    def act(self, obs: Tensor, deterministic: bool = True, uniform: Tensor | None = None) -> Tensor:
        """[N, D] observations to [N] actions (see `ActorCritic.act`)."""
        return self.network.act(obs, deterministic, uniform)

    @property
    def fingerprint(self) -> str:
        """Short hash of the weights."""
        digest = hashlib.sha256()
        for name, value in sorted(self.network.state_dict().items()):
            digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:12]

    def save(self, path: Path | str) -> None:
        """Write one safetensors file with weights, task and scaler; whole or not at all.

        Raises:
            CheckpointError: the file cannot be written.

        """
        about = {
            "format": FORMAT,
            "name": self.name,
            "network": self.network.shape,
            "config": dataclasses.asdict(self.config),
            "scaler": self.scaler.to_dict(),
        }
        tensors = {k: v.detach().cpu().contiguous() for k, v in self.network.state_dict().items()}
        # One metadata key only: safetensors writes several in random order.
        data = save(tensors, metadata={"policy": json.dumps(about, sort_keys=True)})
        try:
            write_atomic(Path(path), data)
        except OSError as error:
            raise CheckpointError(
                f"Cannot write the policy {path}: {error.strerror or error}. "
                "Check the folder and the space on the disk."
            ) from error

    @classmethod
    def load(cls, path: Path | str) -> Policy:
        """Read a file written by `save`.

        Raises:
            CheckpointError: missing, damaged, or not a policy.

        """
        try:
            with safe_open(str(path), framework="pt") as file:
                about = json.loads((file.metadata() or {})["policy"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if about["format"] != FORMAT:
                raise KeyError(f"format {about['format']}")
            network = _network(about["network"], tensors)
            config = EnvConfig(**_tupled(about["config"]))
            scaler = FeatureScaler.from_dict(about["scaler"])
            name = str(about["name"])
        except (
            OSError,
            SafetensorError,
            LookupError,
            TypeError,
            AttributeError,
            ValueError,
            RuntimeError,
        ) as error:
            raise CheckpointError(
                f"{path} is not a usable policy ({type(error).__name__}: {error}). "
                f"Expected a file written by Policy.save ({FORMAT})."
            ) from error
        return cls(network, config, scaler, name)


def _network(shape: dict[str, Any], tensors: dict[str, Tensor]) -> ActorCritic:
    """The network that a file describes.

    It is laid out without memory first: a header of a few bytes can ask for terabytes, while
    the weights that are there were paid for by the size of the file.

    Raises:
        ValueError: the weights are not those of such a network.

    """
    settings = _tupled(shape)
    if 2 * len(settings["hidden"]) > len(tensors):
        raise ValueError("fewer weights than layers")
    with torch.device("meta"):
        wanted = ActorCritic(**settings).state_dict()
    for name, value in wanted.items():
        if name not in tensors or tensors[name].shape != value.shape:
            raise ValueError(f"weights {name} are not {tuple(value.shape)}")
        if tensors[name].dtype != torch.float32 or not bool(tensors[name].isfinite().all()):
            raise ValueError(f"weights {name} are not finite 32-bit numbers")
    network = ActorCritic(**settings)
    network.load_state_dict(tensors)
    return network


def _tupled(values: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}

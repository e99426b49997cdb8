"""Policy networks: an actor with one critic per reward stream, and how they are saved."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from tradinghf.config import EnvConfig
from tradinghf.errors import CheckpointError
from tradinghf.market.features import FeatureScaler

FORMAT = "tradinghf-policy-1"


def mlp(inputs: int, hidden: tuple[int, ...], outputs: int, gain: float) -> nn.Sequential:
    """Tanh network with orthogonal weights.

    Args:
        gain: scale of the last layer's weights; 0.01 for actors, 1 for critics.
    Source: Andrychowicz et al. 2021 (arXiv:2006.05990), section 3.2.

    """
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [_layer(inputs, width, math.sqrt(2)), nn.Tanh()]
        inputs = width
    return nn.Sequential(*layers, _layer(inputs, outputs, gain))


def _layer(inputs: int, outputs: int, gain: float) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer


class ActorCritic(nn.Module):
    """Actor and S critics.

    Discrete: logits over A actions. Continuous: tanh-squashed Gaussian in [-1, 1] per dimension.

    Args:
        inputs: D.
        actions: number of discrete actions, or dimensions of a continuous action.
        streams: S.
        discrete: kind of the action space.

    """

    def __init__(
        self, inputs: int, actions: int, streams: int, hidden: tuple[int, ...], discrete: bool
    ) -> None:
        super().__init__()
        self.shape = {
            "inputs": inputs,
            "actions": actions,
            "streams": streams,
            "hidden": list(hidden),
            "discrete": discrete,
        }
        self.discrete = discrete
        self.actions = actions
        self.actor = mlp(inputs, hidden, actions, 0.01)
        self.critic = mlp(inputs, hidden, streams, 1.0)
        self.log_std = nn.Parameter(torch.full((actions,), -0.5), requires_grad=not discrete)

    def sample(self, obs: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """Draw actions from uniform numbers.

        Args:
            obs: [N, D].
            uniform: [N, A] in (0, 1).

        Returns:
            raw actions ([N] indices or [N, A] before squashing) and their log-probabilities [N].

        """
        out = self.actor(obs)
        if self.discrete:
            # Gumbel-max: one argmax, no host synchronisation.
            gumbel = -torch.log(-torch.log(uniform.clamp(1e-7, 1 - 1e-7)))
            raw = (out + gumbel).argmax(-1)
        else:
            normal = torch.erfinv((2 * uniform - 1).clamp(-1 + 1e-6, 1 - 1e-6)) * math.sqrt(2)
            raw = out + self.log_std.exp() * normal
        return raw, self._log_prob(out, raw)

    def _log_prob(self, out: Tensor, raw: Tensor) -> Tensor:
        if self.discrete:
            picked: Tensor = out.log_softmax(-1).gather(-1, raw[:, None])
            return picked.squeeze(-1)
        scaled = (raw - out) / self.log_std.exp()
        normal = -0.5 * (scaled.square() + math.log(2 * math.pi)) - self.log_std
        # log |d tanh(x)/dx|, in its numerically stable form.
        squash = 2 * (math.log(2) - raw - nn.functional.softplus(-2 * raw))
        return (normal - squash).sum(-1)

    def evaluate(self, obs: Tensor, raw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log-probability [B] of raw actions, entropy [B], values [B, S]."""
        out: Tensor = self.actor(obs)
        if self.discrete:
            log_p = out.log_softmax(-1)
            entropy = -(log_p.exp() * log_p).sum(-1)
        else:
            entropy = (self.log_std + 0.5 * math.log(2 * math.pi * math.e)).sum().expand(len(obs))
        return self._log_prob(out, raw), entropy, self.critic(obs)

    def divergence(self, obs: Tensor, reference: ActorCritic) -> Tensor:
        """[B] KL(self || reference), exact for both kinds (squashing cancels)."""
        out: Tensor = self.actor(obs)
        ref: Tensor = reference.actor(obs)
        if self.discrete:
            log_p, log_q = out.log_softmax(-1), ref.log_softmax(-1)
            return (log_p.exp() * (log_p - log_q)).sum(-1)
        ratio = (2 * (self.log_std - reference.log_std)).exp()
        shift = ((out - ref) / reference.log_std.exp()).square()
        return 0.5 * (ratio + shift - 1 - ratio.log()).sum(-1)

    def to_env(self, raw: Tensor) -> Tensor:
        """Raw actions in the environment's units."""
        return raw if self.discrete else raw.tanh()

    @torch.no_grad()
    def act(self, obs: Tensor, deterministic: bool = True, uniform: Tensor | None = None) -> Tensor:
        """Actions for the environment: the mode, or a draw from `uniform` [N, A]."""
        if deterministic:
            out: Tensor = self.actor(obs)
            return out.argmax(-1) if self.discrete else out.tanh()
        if uniform is None:
            raise ValueError("A random action needs `uniform` numbers [N, A] from your generator.")
        return self.to_env(self.sample(obs, uniform)[0])


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
        """Write one safetensors file with weights, task and scaler."""
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
        Path(path).write_bytes(data)

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
            network = ActorCritic(**_tupled(about["network"]))
            network.load_state_dict(tensors)
            config = EnvConfig(**_tupled(about["config"]))
            scaler = FeatureScaler.from_dict(about["scaler"])
        except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise CheckpointError(
                f"{path} is not a usable policy ({type(error).__name__}: {error}). "
                f"Expected a file written by Policy.save ({FORMAT})."
            ) from error
        return cls(network, config, scaler, about["name"])


def _tupled(values: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}

"""A trained policy with its task, as one file."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from tradinghf._json import parse_json
from tradinghf.config import EnvConfig
from tradinghf.durable import write_atomic
from tradinghf.errors import CheckpointError
from tradinghf.learning.policy._base_files import base_files, warn_of_changes
from tradinghf.learning.policy._memory import begun
from tradinghf.learning.policy._networks import ActorCritic
from tradinghf.market import FeatureScaler, MarketData
from tradinghf.simulation import MarketEnv

_FORMAT = "tradinghf-policy-1"
_BAD_CONTENT = (
    LookupError,
    TypeError,
    AttributeError,
    ValueError,
    OverflowError,
    RuntimeError,
)
_UNREADABLE = (OSError, SafetensorError, *_BAD_CONTENT)  # what a damaged file raises


@dataclasses.dataclass(eq=False)
class Policy:
    """A trained network together with the task it was trained for; trades anywhere.

    Attributes:
        network: the actor-critic, or an agent of another library that acts in its place.
        config: the task: features, lookback, actions, fill.
        scaler: feature normalisation of the training market.
        name: shown in reports, hidden from raters.
        seen: the bars that it was trained and chosen on: their symbols, first and last time, and
            how they were made up, if they were; empty where that is not known.

    """

    network: Any
    config: EnvConfig
    scaler: FeatureScaler
    name: str = "policy"
    seen: dict[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def trained(
        cls, network: ActorCritic, env: MarketEnv, name: str, chosen_on: MarketData | None = None
    ) -> Policy:
        """A policy that was trained in an environment, and perhaps chosen on further bars."""
        times = [m.timestamps[[0, -1]] for m in (env.market, chosen_on) if m is not None]
        seen = {
            "symbols": list(env.market.symbols),
            "first": str(min(first for first, _ in times)),
            "last": str(max(last for _, last in times)),
            "made_up": _made_up(env.market),
        }
        return cls(network, env.config, env.scaler, name, seen)

    def seen_share(self, market: MarketData) -> float:
        """Which share of some bars it was trained or chosen on: there, figures are no evidence."""
        if not self.seen or not set(self.seen["symbols"]) & set(market.symbols):
            return 0.0
        if self.seen["made_up"] != _made_up(market):
            return 0.0  # other paths, whose names and times are the same
        first, last = (np.datetime64(self.seen[end]) for end in ("first", "last"))
        return float(((market.timestamps >= first) & (market.timestamps <= last)).mean())

    def act(self, obs: Tensor, deterministic: bool = True, uniform: Tensor | None = None) -> Tensor:
        """[N, D] observations to [N] actions (see `ActorCritic.act`); see `fresh`."""
        found: Tensor = self.network.act(obs, deterministic, uniform)
        return found

    def fresh(self) -> Policy:
        """Who acts through one run of episodes; where the network has a memory, it is empty."""
        return dataclasses.replace(self, network=begun(self.network))

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
            WriteError: the disk refused (full, read-only).
            CheckpointError: the agent is another library's.

        """
        if not isinstance(self.network, ActorCritic):
            raise CheckpointError(
                f"The policy {self.name!r} is an agent of another library; files hold tradinghf's "
                "own networks. Save the agent by its library's own means."
            )
        about = {
            "format": _FORMAT,
            "name": self.name,
            "network": self.network.shape,
            "config": dataclasses.asdict(self.config),
            "scaler": self.scaler.to_dict(),
            "bases": base_files(self.config),
            "seen": self.seen,
        }
        tensors = {k: v.detach().cpu().contiguous() for k, v in self.network.state_dict().items()}
        # One metadata key only: safetensors writes several in random order.
        data = save(tensors, metadata={"policy": json.dumps(about, sort_keys=True)})
        write_atomic(Path(path), data)

    @classmethod
    def load(cls, path: Path | str) -> Policy:
        """Read a file written by `save`; warns where a base's file has changed since.

        Raises:
            CheckpointError: missing, damaged, or not a policy.

        """
        try:
            with safe_open(str(path), framework="pt") as file:
                about = parse_json((file.metadata() or {})["policy"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if about["format"] != _FORMAT:
                raise KeyError(f"format {about['format']}")
            network = _network(about["network"], tensors)
            config = EnvConfig(**_tupled(about["config"]))
            _check_fits(about["network"], config)
            scaler = FeatureScaler.from_dict(about["scaler"])
            name, bases = _text(about["name"]), dict(about.get("bases", {}))
            seen = _bars_seen(about.get("seen", {}))
        except _UNREADABLE as error:
            raise CheckpointError(
                f"{path} is not a usable policy ({type(error).__name__}: {error}). "
                f"Expected a file written by Policy.save ({_FORMAT})."
            ) from error
        warn_of_changes(name, bases, config)
        return cls(network, config, scaler, name, seen)


def _bars_seen(told: dict[str, Any]) -> dict[str, Any]:
    """`Policy.seen` as a file tells it; earlier files tell nothing.

    Raises:
        ValueError: a time is none.

    """
    if not told:
        return {}
    times = {end: str(np.datetime64(str(told[end]))) for end in ("first", "last")}
    symbols = [_text(symbol) for symbol in tuple(told["symbols"])]
    return {"symbols": symbols, "made_up": _text(told["made_up"]), **times}


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text"[:200])
    return value


def _check_fits(shape: dict[str, Any], config: EnvConfig) -> None:
    """Refuse a task whose market part alone is more, or other, than the network takes in.

    Raises:
        ValueError: they do not belong together.

    """
    seen = config.lookback * len(config.features)
    if seen > shape["inputs"]:
        raise ValueError(
            f"the task shows {seen:,} numbers of the market, the network takes {shape['inputs']}"
        )


def _made_up(market: MarketData) -> str:
    """How synthetic bars were made; empty for real ones."""
    return market.source if market.made_up else ""


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

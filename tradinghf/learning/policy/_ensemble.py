"""Several seeds of one training as one policy, which acts on the mean of what they put out.

Layers side by side are one wider layer whose weights between members are zero, so that an ensemble
is an ordinary network: it is saved, gated, exported and traded like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tradinghf.errors import ConfigError
from tradinghf.learning.policy._networks import ActorCritic
from tradinghf.learning.policy._saved import Policy


def ensemble(policies: Sequence[Policy], name: str = "ensemble") -> Policy:
    """One policy out of several of the same task: it acts on the mean of their outputs.

    Of levels these are the logits, so that the product of their probabilities decides; of
    continuous actions the mean before squashing, or the parameters of the Beta distribution.

    Args:
        policies: at least two, such as a training's with other seeds.
        name: shown in reports.

    Raises:
        ConfigError: fewer than two, other tasks or kinds of network, or features that were scaled
            by other bars.

    Source: Lakshminarayanan et al. 2017 (arXiv:1612.01474) for seeds as ensembles; Hinton 2002,
    "Training products of experts" (Neural Computation 14).

    """
    _check(policies)
    first = policies[0]
    networks = [policy.network for policy in policies]
    shared = first.network.shape["shared"] and bool(first.network.shape["hidden"])
    network = ActorCritic(**_shape(networks))
    with torch.no_grad():
        for part in ("trunk", "actor", "critic"):
            members = [_layers(getattr(each, part)) for each in networks]
            _join(_layers(getattr(network, part)), members, part, shared)
        network.log_std.copy_(torch.stack([each.log_std for each in networks]).mean(0))
    seen = dict(first.seen)
    known = [policy.seen for policy in policies]
    if all(known):
        seen |= {"first": min(s["first"] for s in known), "last": max(s["last"] for s in known)}
    return Policy(network, first.config, first.scaler, name, seen)


def _check(policies: Sequence[Policy]) -> None:
    """Raise `ConfigError` unless the policies can be one."""
    if len(policies) < 2:
        raise ConfigError(f"An ensemble got {len(policies)} policy; expected at least two.")
    first = policies[0]
    for other in policies:
        if not isinstance(other.network, ActorCritic) or other.network.shape["window"] is not None:
            raise ConfigError(
                f"{other.name!r} has a network that cannot be joined; expected tradinghf's "
                "perceptrons, or those whose weights are shared by assets."
            )
        kinds = [_kind(policy) for policy in (first, other)]
        for what, one, two in zip(("kind of network", "task", "set of bars"), *kinds, strict=True):
            if one != two:
                raise ConfigError(
                    f"{other.name!r} has another {what} than {first.name!r}: {two} and {one}. "
                    "Join trainings that differ in their seed alone."
                )
        if other.scaler.to_dict() != first.scaler.to_dict():
            raise ConfigError(
                f"The features of {other.name!r} were scaled by other bars than those of "
                f"{first.name!r}. Join trainings on the same bars."
            )


def _kind(policy: Policy) -> tuple[Any, Any, Any]:
    """What has to be the same: network but for its widths, task, symbols and how they were made."""
    shape = policy.network.shape | {"hidden": len(policy.network.shape["hidden"])}
    bars = {k: v for k, v in policy.seen.items() if k in ("symbols", "made_up")}
    return shape, policy.config, bars


def _shape(networks: Sequence[ActorCritic]) -> dict[str, Any]:
    """Of the joint network: layers side by side."""
    each = [network.shape["hidden"] for network in networks]
    return networks[0].shape | {"hidden": tuple(sum(widths) for widths in zip(*each, strict=True))}


def _layers(part: nn.Module) -> list[list[nn.Linear]]:
    """Linear layers of a part from its input to its output; of assets, own and mean together."""
    found: list[list[nn.Linear]] = []
    for module in part.children():
        if isinstance(module, nn.Linear):
            found.append([module])
        elif hasattr(module, "own"):
            found += [[own, mean] for own, mean in zip(module.own, module.mean, strict=True)]  # type: ignore[arg-type]
        elif hasattr(module, "out"):
            found.append([module.out])  # type: ignore[list-item]
    return found


def _join(
    joint: list[list[nn.Linear]], members: list[list[list[nn.Linear]]], part: str, shared: bool
) -> None:
    """Fill the layers of one part; the first sees what all members see, the last is their mean."""
    for depth, layers in enumerate(joint):
        # Behind a shared trunk, a part sees hidden units, which are each member's own.
        sees = depth == 0 and (part == "trunk" or not shared)
        ends = depth == len(joint) - 1 and part != "trunk"
        for place, layer in enumerate(layers):
            own = [member[depth][place] for member in members]
            layer.weight.copy_(_weights([m.weight for m in own], layer.in_features, sees, ends))
            if layer.bias is not None:
                biases: list[Tensor] = [m.bias for m in own]
                layer.bias.copy_(torch.stack(biases).mean(0) if ends else torch.cat(biases))


def _weights(own: list[Tensor], inputs: int, sees: bool, ends: bool) -> Tensor:
    """[out, in] of one layer of the joint network."""
    if sees and ends:
        return torch.stack(own).mean(0)
    if sees:
        return torch.cat(own)
    if not ends:
        blocks: Tensor = torch.block_diag(*own)
        return blocks
    width = sum(weight.shape[1] for weight in own)
    if inputs == width:
        return torch.cat(own, 1) / len(own)
    # Rows of assets end with their listing, which all members see.
    listed = torch.stack([weight[:, -1:] for weight in own]).mean(0)
    return torch.cat([*(weight[:, :-1] / len(own) for weight in own), listed], 1)

"""Names of episodes' sources as traders read them, and what sort of trading each is."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Literal

_Kind = Literal["strategy", "policy", "reference", "other"]
SOURCE_KINDS: dict[_Kind, str] = {
    "strategy": "Shipped strategies",
    "policy": "Policies",
    "reference": "Reference behaviour",
    "other": "Others",
}
_SHORTEST_FINGERPRINT = 8
_HELD = re.compile(r"hold_([+-]?[0-9.]+)")
_RANDOM = re.compile(r"random_([0-9.]+)")
_LOOP = re.compile(r"policy:([0-9]+)-([0-9]+)-([0-9.]+)")
_RUN = re.compile(r"policy:(.+)-([0-9]+)-(0|1|0\.[0-9]+)")
_HASH = re.compile(r"[0-9a-f]{12,64}")
_TRAINED = re.compile(r"policy:([0-9a-f]{12,64})(?:-([0-9.]+))?")


def source_label(source: str) -> str:
    """A source in plain words: "hold_-1" is "always short", "sma_cross" is "sma cross"."""
    if found := _HELD.fullmatch(source):
        return _standing(float(found[1]))
    if found := _RANDOM.fullmatch(source):
        return f"random ({found[1]} bars)"
    if found := _LOOP.fullmatch(source):
        return f"policy of step {found[1]}{_earlier(found[2])}{_exploring(found[3])}"
    if found := _RUN.fullmatch(source):
        name = found[1][:_SHORTEST_FINGERPRINT] if _HASH.fullmatch(found[1]) else found[1]
        return f"policy {name}{_earlier(found[2])}{_exploring(found[3])}"
    if found := _TRAINED.fullmatch(source):
        return f"policy {found[1][:_SHORTEST_FINGERPRINT]}{_exploring(found[2] or '0')}"
    if source.startswith("policy:"):
        return f"policy {source.removeprefix('policy:')}"
    return source.replace("_", " ")


def source_kind(source: str, shipped: Collection[str]) -> _Kind:
    """What sort of trading a source is.

    Args:
        source: as stored.
        shipped: names of the shipped strategies.

    """
    if _HELD.fullmatch(source) or _RANDOM.fullmatch(source):
        return "reference"
    if source == "policy" or source.startswith("policy:"):
        return "policy"
    return "strategy" if source in shipped else "other"


def _standing(level: float) -> str:
    if level == 0:
        return "always flat"
    side = "long" if level > 0 else "short"
    return f"always {side}" if abs(level) == 1 else f"always {100 * abs(level):.0f} % {side}"


def _earlier(age: str) -> str:
    """How many candidates before the present one a policy was."""
    return f", {age} before" if int(age) else ""


def _exploring(share: str) -> str:
    """How much a policy explored while it was recorded; nothing for its best actions."""
    value = float(share)
    if value == 0:
        return ""
    return ", sampled" if value == 1 else f", {100 * value:.0f} % random"

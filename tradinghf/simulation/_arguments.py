"""How many environments are made, and on which device: checked before anything is laid out."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import torch

from tradinghf.errors import ConfigError, check_memory


def environment_count(given: Any) -> int:
    """N.

    Raises:
        ConfigError: not a whole number of at least 1, or more than fit into memory.

    """
    if not isinstance(given, Integral) or isinstance(given, bool) or given < 1:
        expected = "a whole number of at least 1"
        raise ConfigError(f"MarketEnv: num_envs is {given!r}; expected {expected}.")
    # An account, its orders and its trace: about a kilobyte each, whatever the task.
    check_memory(1024.0 * int(given), f"{given:,} environments")
    return int(given)


def thread_count(given: Any) -> int | None:
    """Threads of the fused step; None chooses.

    Raises:
        ConfigError: not a whole number of at least 1.

    """
    if given is None:
        return None
    if isinstance(given, Integral) and not isinstance(given, bool) and int(given) >= 1:
        return int(given)
    raise ConfigError(
        f"MarketEnv: threads is {given!r}; expected a whole number of at least 1, or None."
    )


def device_of(given: Any) -> torch.device:
    """A device that this installation of torch can use.

    Raises:
        ConfigError: there is no such device.

    """
    try:
        device = torch.device(given)
        torch.empty(0, device=device)
    except (RuntimeError, TypeError, AssertionError) as error:
        gpu = "cuda" if torch.cuda.is_available() else "no GPU found by torch"
        raise ConfigError(
            f"device is {given!r}, which torch cannot use here; expected 'cpu' or a GPU such as "
            f"'cuda' or 'cuda:1' ({gpu})."
        ) from error
    return device

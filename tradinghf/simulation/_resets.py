"""What `reset` may be given: seeds, windows and a mask, checked before anything changes.

Gymnasium leaves these checks to each environment. Numbers come from other libraries as arrays,
tensors or lists; what does not fit is refused by name, instead of deep inside a tensor operation.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from tradinghf.errors import ConfigError
from tradinghf.simulation._windows import spawned

_OPTIONS = {"asset", "reset_mask", "start"}
_LARGEST_SEED = 2**63 - 1  # seeds are signed 64-bit integers on the device


def environment_seeds(
    seed: Any, count: int, device: torch.device | None = None
) -> Sequence[int] | Tensor:
    """The seed of each environment: drawn from one (`spawned`), or the i-th of those given.

    Those that follow one another are a range, which a device can count up by itself. Whole numbers
    in a GPU's memory stay there: nobody waits for them, so nobody checks that they are positive.

    Args:
        seed: a whole number, or `count` of them as a range, a sequence, an array or a tensor.
        count: N.
        device: where seeds are drawn; None is the processor.

    Raises:
        ConfigError: a seed is no whole number, negative or too large, or there are not N seeds.

    """
    if isinstance(seed, Tensor) and seed.dtype == torch.int64 and seed.shape == (count,):
        if seed.device.type == "cpu":
            _whole_seed(int(seed.min()), _LARGEST_SEED)
        return seed
    if isinstance(seed, range) and len(seed) == count and seed.step == 1:
        _whole_seed(seed.start, _LARGEST_SEED - (count - 1))
        return seed
    given = seed.tolist() if hasattr(seed, "tolist") else seed
    if not isinstance(given, Sequence) or isinstance(given, str | bytes):
        first = _whole_seed(given, _LARGEST_SEED)
        return range(first, first + 1) if count == 1 else spawned(first, count, device)
    if len(given) != count:
        raise ConfigError(f"reset got {len(given)} seeds; expected one number, or {count}.")
    return [_whole_seed(each, _LARGEST_SEED) for each in given]


def _whole_seed(value: Any, most: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = -1
    if not 0 <= number <= most:
        raise ConfigError(
            f"reset: seed is {value!r}; expected a whole number from 0 to {most}. Give such a "
            "number, one for each environment, or None to go on with the last seed."
        )
    return number


def reset_options(
    options: Any, count: int, limits: Mapping[str, tuple[int, int]], market: str
) -> dict[str, Tensor]:
    """The options of `reset` as int64 tensors [N]; those that are None are left out.

    Args:
        options: None, or a mapping with "start", "asset", "reset_mask": one number each, or N.
        count: N.
        limits: the smallest and the largest "start" and "asset".
        market: what these limits follow from, for messages.

    Raises:
        ConfigError: an option is unknown, of another kind or length, or outside its limits.

    """
    if not isinstance(options, Mapping | None):
        raise ConfigError(
            f"reset: options is {options!r}; expected a dict such as {{'start': 100}}, or None."
        )
    if unknown := sorted(str(name) for name in options or {} if name not in _OPTIONS):
        raise ConfigError(f"Unknown reset options {unknown}; expected start, asset or reset_mask.")
    given = {k: _whole_numbers(k, v, count) for k, v in (options or {}).items() if v is not None}
    for name, numbers in given.items():
        low, high = limits.get(name, (0, 1))
        least, most = int(numbers.min()), int(numbers.max())
        if least < low or most > high:
            raise ConfigError(
                f"reset option {name!r} runs from {least} to {most}; expected {low} to {high}"
                f"{f' ({market})' if name in limits else ''}."
            )
    return given


def window_options(options: Any, env: Any) -> dict[str, Tensor]:
    """The options of a `MarketEnv`'s reset, on its device."""
    windows, config = env.dynamics.windows, env.config
    limits = {
        "asset": (0, windows.assets - 1),
        "start": (windows.first, windows.first + windows.count - 1),
    }
    market = f"{env.market.bars} bars, lookback {config.lookback}, horizon {config.horizon}"
    given = reset_options(options, env.num_envs, limits, market)
    return {name: numbers.to(env.device) for name, numbers in given.items()}


def _whole_numbers(name: str, value: Any, count: int) -> Tensor:
    """[count] int64 of one whole number, or of `count`."""
    try:
        given = torch.as_tensor(value)
        numbers = given.to(torch.int64)
        fits = bool((numbers == given).all()) and given.ndim <= 1 and given.numel() in (1, count)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        fits = False
    if not fits:
        raise ConfigError(
            f"reset option {name!r} is {value!r}; expected a whole number, or {count}: one for "
            "each environment."
        )
    return numbers.expand(count).contiguous()


def final_info(obs: Any, info: dict[str, Any], ended: Tensor) -> dict[str, Any]:
    """What Gymnasium adds where environments ended and were reset: the last observation and info.

    Args:
        obs: [N, D] of the states reached; rows of environments that go on have no meaning.
        info: of the transition.
        ended: [N] which environments ended.

    """
    last = {**info, **{f"_{name}": ended for name in info}}
    return {"final_obs": obs, "_final_obs": ended, "final_info": last, "_final_info": ended}

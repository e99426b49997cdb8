"""The registry of market sources: a new one is one decorated function."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

from tradinghf.errors import MarketDataError, unknown_name
from tradinghf.market._data import MarketData
from tradinghf.registry import Registry

Load = Callable[..., MarketData]


@dataclass(frozen=True)
class Source:
    """A named source of bars.

    Attributes:
        name: as in "NAME:option=value,...".
        load: returns validated bars; positional arguments come from the part after the colon.
        help: one line.
        package: the optional package it needs, if any.
        files: whether its arguments name files of this machine.

    """

    name: str
    load: Load
    help: str
    package: str = ""
    files: bool = False

    @property
    def options(self) -> dict[str, inspect.Parameter]:
        """Keyword options."""
        parameters = inspect.signature(self.load, eval_str=True).parameters
        return {n: p for n, p in parameters.items() if p.kind is inspect.Parameter.KEYWORD_ONLY}

    @property
    def usage(self) -> str:
        """Options with their defaults: "seed=0, bars=2048"."""
        return ", ".join(f"{name}={p.default}" for name, p in self.options.items())

    def __call__(self, arguments: list[str], options: dict[str, Any]) -> MarketData:
        """Load with options that may still be text.

        Raises:
            MarketDataError: an option is unknown, or its text does not fit its type.

        """
        values = self.converted(options)
        try:
            inspect.signature(self.load).bind(*arguments, **values)
        except TypeError as error:
            raise MarketDataError(
                f"{self.name}: {error}. {self.help}. Options: {self.usage or 'none'}."
            ) from error
        return self.load(*arguments, **values)

    def converted(self, options: dict[str, Any]) -> dict[str, Any]:
        """Options of the types that they have to have, from text where they are text.

        Raises:
            MarketDataError: an option is unknown, or its text does not fit its type.

        """
        known = self.options
        unknown = [name for name in options if name not in known]
        if unknown:
            raise MarketDataError(f"{self.name}: {unknown_name('option', unknown[0], known)}")
        return {name: self._convert(known[name], value) for name, value in options.items()}

    def _convert(self, option: inspect.Parameter, value: Any) -> Any:
        kinds = get_args(option.annotation) or (option.annotation,)
        if bool in kinds and isinstance(value, str):
            if value.lower() not in ("true", "false"):
                raise MarketDataError(
                    f"{self.name}: option {option.name} is {value!r}; expected true or false."
                )
            return value.lower() == "true"
        for kind in (int, float):
            if kind in kinds and isinstance(value, str):
                try:
                    return kind(value)
                except ValueError as error:
                    raise MarketDataError(
                        f"{self.name}: option {option.name} is {value!r}; "
                        f"expected {'a whole number' if kind is int else 'a number'}."
                    ) from error
        return value


SOURCES: Registry[Source] = Registry("market", MarketDataError)


def source(
    name: str,
    *,
    help: str,  # noqa: A002
    package: str = "",
    files: bool = False,
) -> Callable[[Load], Load]:
    """Register a function that returns `MarketData` as the source `name`.

    Its keyword-only options become options of the spec, "NAME:seed=3,bars=4096"; parts without
    "=" become positional arguments, "NAME:SPY,QQQ".

    Args:
        name: unique.
        help: one line that shows how to write it.
        package: optional package that it needs.
        files: whether arguments name files of this machine; pages of the dashboard refuse it then.

    Raises:
        MarketDataError: the name is taken.

    """

    def decorate(load: Load) -> Load:
        SOURCES.add(name, Source(name, load, help, package, files))
        return load

    return decorate

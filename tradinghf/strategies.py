"""Strategies: functions from bars to target weights, found by name or by file.

A strategy is one decorated function::

    @strategy
    def dip(market: MarketData, *, depth_pct: float = 5.0) -> Floats: ...

Its keyword-only arguments are its parameters, documented in its docstring as
"depth_pct: fall from the last high that triggers a purchase [%]". Row t of the result may use
bars 0..t only. No torch here.
"""

from __future__ import annotations

import importlib
import inspect
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_type_hints, overload

import numpy as np

from tradinghf._parameters import TYPES, Parameter, Value
from tradinghf.errors import StrategyError, said_once, unknown_name
from tradinghf.market import Floats, MarketData
from tradinghf.registry import Registry, file_of, import_file, run_file
from tradinghf.resources import resource_dir

_ORDERS: dict[str, Callable[[Any, Any], bool]] = {"<": operator.lt, "<=": operator.le}
_NONE = inspect.Parameter.empty


@dataclass(frozen=True, eq=False)
class Strategy:
    """A named function `MarketData -> target weights` with documented parameters.

    Attributes:
        name: the function's name.
        doc: first paragraph of its docstring.
        parameters: its keyword arguments, in order.
        function: the function itself.
        requires: what must hold between its parameters, such as "fast < slow"; empty: nothing.

    """

    name: str
    doc: str
    parameters: tuple[Parameter, ...]
    function: Callable[..., Any]
    requires: str = ""

    def __call__(self, market: MarketData, **params: Any) -> Floats:
        """[T, A] target weights, decided at the close of each bar; NaN is "no opinion".

        Raises:
            StrategyError: an unknown or malformed parameter, or weights of the wrong shape.

        """
        return self.checked(self.raw(market, **params), market)

    def raw(self, market: MarketData, **params: Any) -> Any:
        """What the function returns: weights, unchecked, or orders that `backtest` knows.

        Raises:
            StrategyError: an unknown or malformed parameter, or the function failed.

        """
        bound = self.bind(**params)
        try:
            return self.function(market, **bound)
        except StrategyError:
            raise
        except (ValueError, ArithmeticError, IndexError) as error:
            raise StrategyError(
                f"The strategy {self.name!r} failed on {market.bars} bars with {bound} "
                f"({type(error).__name__}: {error})."
            ) from error

    def bind(self, **params: Any) -> dict[str, Value]:
        """All parameters, defaults filled in, types and what is required of them checked."""
        bound = self.typed(**params)
        if not self.allows(bound):
            got = ", ".join(f"{name} {bound[name]}" for name in _names(self.requires))
            raise StrategyError(f"{self.name} requires {self.requires}; got {got}.")
        return bound

    def typed(self, **params: Any) -> dict[str, Value]:
        """All parameters, defaults filled in and types checked."""
        known = {parameter.name: parameter for parameter in self.parameters}
        for name in params:
            if name not in known:
                raise StrategyError(unknown_name(f"parameter of {self.name}", name, known))
        return {n: p.parse(params[n]) if n in params else p.default for n, p in known.items()}

    def allows(self, bound: Mapping[str, Value]) -> bool:
        """Whether complete parameters are what `requires` says; grids leave out the others."""
        if not self.requires:
            return True
        values: list[Any] = [bound[name] for name in _names(self.requires)]
        return bool(_ORDERS[self.requires.split()[1]](*values))

    def orders(self, market: MarketData, **params: Any) -> Floats:
        """[T, A] target weights where the target changes, NaN (no order) where it does not.

        Warm-up NaN count as flat; a later NaN keeps the last target.
        """
        return target_changes(self(market, **params))

    def __reduce__(self) -> tuple[Any, ...]:
        """By the name of its function, whose place in its module the strategy has taken.

        What another process could not find by name is sent as it is, if anybody can do that.
        """
        module, name = self.function.__module__, self.function.__qualname__
        about = (self.name, self.doc, self.parameters, self.requires)
        if module == "__main__" or not name.isidentifier():
            return Strategy, (*about[:3], self.function, self.requires)
        return _unpacked, (module, name, *about)

    def with_defaults(self, **params: Any) -> Strategy:
        """The same strategy with other defaults.

        Raises:
            StrategyError: an unknown or malformed parameter.

        """
        bound = self.bind(**params)
        parameters = tuple(replace(p, default=bound[p.name]) for p in self.parameters)
        return replace(self, parameters=parameters)

    def checked(self, weights: Any, market: MarketData) -> Floats:
        """[T, A] weights as the function returned them, or what is wrong with their shape."""
        array = np.asarray(weights, dtype=np.float64)
        if array.ndim == 1 and market.assets == 1:
            array = array[:, None]
        expected = (market.bars, market.assets)
        if array.shape != expected:
            raise StrategyError(
                f"The strategy {self.name!r} returned weights of shape {array.shape}; "
                f"expected {expected}: one row per bar, one column per asset."
            )
        if np.isinf(array).any():
            bar, asset = map(int, np.argwhere(np.isinf(array))[0])
            raise StrategyError(
                f"The strategy {self.name!r} returned {array[bar, asset]} at bar {bar} for "
                f"{market.symbols[asset]}; expected finite weights, or NaN for no opinion."
            )
        return array


def held_targets(weights: Floats) -> Floats:
    """[T, A] `weights` with every gap filled by the last known target, flat before the first."""
    known = np.isfinite(weights)
    last = np.maximum.accumulate(np.where(known, np.arange(len(weights))[:, None], -1), axis=0)
    targets = np.take_along_axis(weights, np.maximum(last, 0), axis=0)
    return np.where(last < 0, 0.0, targets)


def target_changes(weights: Floats) -> Floats:
    """[T, A] `weights` where they differ from the last known target (initially 0), else NaN."""
    targets = held_targets(weights)
    before = np.vstack([np.zeros_like(targets[:1]), targets[:-1]])
    return np.where(targets != before, targets, np.nan)


@overload
def strategy(function: Callable[..., Any]) -> Strategy: ...


@overload
def strategy(*, requires: str) -> Callable[[Callable[..., Any]], Strategy]: ...


def strategy(
    function: Callable[..., Any] | None = None, *, requires: str = ""
) -> Strategy | Callable[[Callable[..., Any]], Strategy]:
    """Turn a function into a `Strategy`; its keyword-only arguments are the parameters.

    Args:
        function: from the market and the parameters to weights, signals or orders; or a class
            with `next(bar, account)`, whose annotated attributes are the parameters.
        requires: an order of two parameters, such as "fast < slow" or "enter <= leave".

    Raises:
        StrategyError: a parameter without default, documentation, or one of the types
            int, float, bool, str; or `requires` is no such order.

    """
    if function is None:
        return lambda function: _strategy(function, requires)
    return _strategy(function, requires)


def _maker(rule: type) -> Callable[..., Any]:
    """A function from the market and parameters to an event-driven rule of the class."""

    def make(market: MarketData, **params: Any) -> Any:
        made = rule()
        for name, value in params.items():
            setattr(made, name, value)
        return made

    kinds = {name: kind for name, kind in get_type_hints(rule).items() if name[0] != "_"}
    parameters = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=getattr(rule, name, _NONE))
        for name in kinds
    ]
    first = inspect.Parameter("market", inspect.Parameter.POSITIONAL_ONLY)
    make.__name__, make.__doc__, make.__module__ = rule.__name__, rule.__doc__, rule.__module__
    make.__annotations__ = kinds
    made: Any = make
    made.__signature__, made.__wrapped__ = inspect.Signature([first, *parameters]), rule
    return make


def _strategy(function: Callable[..., Any], requires: str) -> Strategy:
    function = _maker(function) if isinstance(function, type) else function
    name, text = function.__name__, inspect.getdoc(function) or ""
    arguments = list(inspect.signature(function).parameters.values())
    if not text or not arguments:
        raise StrategyError(
            f"The strategy {name!r} needs a docstring and the market as its first argument."
        )
    parameters = [_parameter(name, function, argument, text) for argument in arguments[1:]]
    doc = " ".join(text.split("\n\n")[0].split())
    known = {parameter.name for parameter in parameters}
    words = requires.split()
    if words and not (len(words) == 3 and words[1] in _ORDERS and {words[0], words[2]} <= known):
        raise StrategyError(
            f"The strategy {name!r} requires {requires!r}; expected two of its parameters and "
            '"<" or "<=" between them.'
        )
    return Strategy(name, doc, tuple(parameters), function, requires)


def _names(requires: str) -> tuple[str, str]:
    """The two parameters of "fast < slow"."""
    first, _, second = requires.split()
    return first, second


def _parameter(
    owner: str, function: Callable[..., Any], argument: inspect.Parameter, text: str
) -> Parameter:
    where = f"The parameter {argument.name!r} of the strategy {owner!r}"
    kind = get_type_hints(function).get(argument.name)
    if kind not in TYPES or argument.default is inspect.Parameter.empty:
        raise StrategyError(
            f"{where} needs a default and one of the types int, float, bool, str: "
            f"`{argument.name}: int = 20`."
        )
    line = re.search(rf"^\s*{argument.name}\s*:\s*(.+)$", text, flags=re.MULTILINE)
    if line is None:
        raise StrategyError(f"{where} is not documented; add `{argument.name}: ...` under Args.")
    return Parameter(argument.name, kind, argument.default, line[1].strip())


def load_strategy(name: str | Path | Strategy, folder: Path | str | None = None) -> Strategy:
    """A strategy by name from `folder` (default: the bundled strategies), or by file.

    Args:
        name: "sma_cross", "my_file.py" (its only strategy), "my_file.py:function", each perhaps
            with parameters ("sma_cross:fast=10,slow=50"), or a strategy, which is returned.
        folder: where to look names up.

    Raises:
        StrategyError: no such strategy or file, or the file cannot be imported.

    """
    if isinstance(name, Strategy):
        return name
    if not isinstance(name, str | Path):
        called = getattr(name, "__name__", type(name).__name__)
        raise StrategyError(
            f"{called} is no strategy; expected a name, a file, or a function decorated with "
            "@strategy, which says what its parameters are."
        )
    name = str(name)
    plain, colon, tail = name.rpartition(":")
    if colon and all("=" in item for item in tail.split(",")):
        items = (item.partition("=") for item in tail.split(","))
        given = said_once(((k, v) for k, _, v in items), f"strategy {name[:60]!r}", StrategyError)
        return load_strategy(plain, folder).with_defaults(**given)
    path, _, wanted = name.partition(":")
    if path.endswith(".py"):
        return _from_file(Path(path), wanted)
    place = _folder(folder)
    quick = place / f"{name}.py"
    if name.isidentifier() and quick.is_file():
        found = _strategies_in(quick)
        if name in found:
            return found[name]
    return _scan(place)[name]


def _unpacked(
    module: str, place: str, name: str, doc: str, parameters: tuple[Parameter, ...], requires: str
) -> Strategy:
    """A strategy that was sent to another process."""
    found = getattr(importlib.import_module(module), place)
    return Strategy(name, doc, parameters, getattr(found, "function", found), requires)


def fresh(rule: Strategy) -> Strategy:
    """The same strategy from its file run anew, with nothing kept of earlier calls.

    A strategy that does not come from a file is returned as it is.
    """
    path = file_of(rule.function)
    if path is None:
        return rule
    again = getattr(run_file(path), rule.function.__name__, None)
    return again if isinstance(again, Strategy) else rule


def strategy_names(folder: Path | str | None = None) -> list[str]:
    """Sorted names of every strategy in `folder` (default: the bundled strategies)."""
    return list(_scan(_folder(folder)))


def _folder(folder: Path | str | None) -> Path:
    place = resource_dir("strategies") if folder is None else Path(folder)
    if not place.is_dir():
        raise StrategyError(f"The strategies folder {str(place)!r} does not exist.")
    return place


def _scan(place: Path) -> Registry[Strategy]:
    registry: Registry[Strategy] = Registry("strategy", StrategyError)
    for path in sorted(place.glob("[!_.]*.py")):
        for name, found in _strategies_in(path).items():
            registry.add(name, found)
    return registry


def _from_file(path: Path, wanted: str) -> Strategy:
    if not path.is_file():
        raise StrategyError(f"The strategy file {str(path)!r} does not exist.")
    found = _strategies_in(path)
    if wanted in found:
        return found[wanted]
    if not found:
        raise StrategyError(
            f"{path.name} defines no strategy. Put `@strategy` (from tradinghf import strategy) "
            "above its function."
        )
    if wanted:
        raise StrategyError(unknown_name(f"strategy in {path.name}", wanted, found))
    if len(found) > 1:
        raise StrategyError(
            f"{path.name} holds {len(found)} strategies; name one: "
            f"{path.name}:{next(iter(sorted(found)))}"
        )
    return next(iter(found.values()))


def _strategies_in(path: Path) -> dict[str, Strategy]:
    """The strategies that the file at `path` defines, by name (not those that it imports)."""
    module = import_file(path, "strategy", StrategyError)
    found = [v for v in vars(module).values() if isinstance(v, Strategy)]
    return {s.name: s for s in found if s.function.__module__ == module.__name__}


def __getattr__(name: str) -> object:
    """Say where `run_script` went: strategy files of earlier versions import it from here."""
    if name == "run_script":
        raise StrategyError(
            "run_script is no longer in tradinghf.strategies; write `import tradinghf` and end "
            'the file with `if __name__ == "__main__": tradinghf.run_script(rule)`.'
        )
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "Floats",
    "Parameter",
    "Strategy",
    "load_strategy",
    "strategy",
    "strategy_names",
    "target_changes",
]

"""Named, pluggable things: strategies, data sources, rewards, synthetic traders."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from tradinghf.errors import TradingHFError, unknown_name

T = TypeVar("T")


class Registry(Generic[T]):
    """Names to objects; refuses duplicates and suggests close matches.

    Args:
        kind: what is registered, for error messages ("strategy").
        error: the exception class raised by lookups and duplicates.

    """

    def __init__(self, kind: str, error: type[TradingHFError] = TradingHFError) -> None:
        self.kind = kind
        self._error = error
        self._items: dict[str, T] = {}

    def add(self, name: str, item: T) -> T:
        """Register `item`; raises when the name is taken by another object."""
        if self._items.setdefault(name, item) is not item:
            raise self._error(
                f"The {self.kind} {name!r} is registered already. "
                f"Choose another name, or remove the first definition."
            )
        return item

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator form of `add`."""
        return lambda item: self.add(name, item)

    def __getitem__(self, name: str) -> T:
        if name not in self._items:
            raise self._error(unknown_name(self.kind, name, self._items))
        return self._items[name]

    def __contains__(self, name: object) -> bool:
        return name in self._items

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._items))

    def __len__(self) -> int:
        return len(self._items)

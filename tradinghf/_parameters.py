"""One setting of a strategy: its type, its default, and how it is read from text."""

from __future__ import annotations

from dataclasses import dataclass

from tradinghf.errors import StrategyError

Value = int | float | bool | str
TYPES: dict[type, str] = {int: "a whole number", float: "a number", bool: "a yes/no", str: "text"}
_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True)
class Parameter:
    """One setting of a strategy.

    Attributes:
        name: keyword of the function.
        type: int, float, bool or str.
        default: used when the caller gives none.
        doc: its line in the function's docstring, with the unit.

    """

    name: str
    type: type
    default: Value
    doc: str

    def parse(self, value: object) -> Value:
        """`value` (perhaps text from a command line) as this parameter's type.

        Raises:
            StrategyError: it does not convert without loss.

        """
        bars = " of bars, 1 or more," if "[bars]" in self.doc else ""
        try:
            if self.type in (bool, str):
                return _WORDS[str(value).lower()] if self.type is bool else str(value)
            converted: Value = self.type(number := float(str(value)))
            if number - float(converted) or (bars and number < min(1, float(self.default))):
                raise ValueError(value)
        except (ValueError, KeyError, OverflowError) as error:
            raise StrategyError(
                f"The parameter {self.name!r} is {value!r}; expected {TYPES[self.type]}{bars} "
                f"such as {self.default!r}."
            ) from error
        return converted

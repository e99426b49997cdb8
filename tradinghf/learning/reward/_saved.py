"""A fitted reward model as a file: its settings, and the answers and episodes it was fitted to.

Fitting is deterministic, so loading fits again. Nothing in such a file can run code, and what the
model rests on can be read in it.
"""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from tradinghf._json import parse_json
from tradinghf.durable import write_atomic
from tradinghf.episodes import Episode
from tradinghf.errors import FeedbackError, TradingHFError
from tradinghf.feedback import Ranking
from tradinghf.learning.config import AspectConfig, RewardConfig

_FORMAT = "tradinghf-reward-1"
_BAD_CONTENT = (KeyError, TypeError, AttributeError, ValueError, OverflowError, RecursionError)


class Saveable:
    """What can be saved because it is a function of its settings, answers and episodes."""

    config: RewardConfig
    desk: Any
    fit: Callable[..., Any]
    _fitted_to: tuple[Sequence[Ranking], Mapping[str, Episode]]

    def save(self, path: Path | str) -> None:
        """Write the fitted model to a file (JSON).

        Raises:
            FeedbackError: it was not fitted, or begins from the answers of others (`desk`).

        """
        rankings, episodes = self._fitted_to
        if not rankings or self.desk is not None:
            why = "has not been fitted" if not rankings else "rests on a desk's model"
            raise FeedbackError(
                f"This {type(self).__name__} {why}; expected one that was fitted to answers of its "
                "own. Call fit(rankings, episodes) first, or save the desk's model."
            )
        names = sorted({name for ranking in rankings for name in ranking.episodes})
        document = {
            "format": _FORMAT,
            "config": dataclasses.asdict(self.config),
            "rankings": [vars(r) | {"created": r.created.isoformat()} for r in rankings],
            "episodes": [base64.b64encode(episodes[n].to_bytes()).decode() for n in names],
        }
        write_atomic(Path(path), json.dumps(document).encode())

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """The model that `save` wrote, fitted again.

        Raises:
            FeedbackError: another file, or one that was altered.

        """
        try:
            found = parse_json(Path(path).read_bytes())
            if found["format"] != _FORMAT:
                raise ValueError(f"format {found['format']!r}")
            episodes = [Episode.from_bytes(base64.b64decode(e)) for e in found["episodes"]]
            rankings = [_ranking(fields) for fields in found["rankings"]]
            model = cls(_config(found["config"]))  # type: ignore[call-arg]
        except (OSError, *_BAD_CONTENT) as error:
            detail = str(error) if isinstance(error, TradingHFError | OSError) else repr(error)
            raise FeedbackError(
                f"{path} is no saved reward model ({detail}). Expected a file of "
                "RewardModel.save(path)."
            ) from error
        model.fit(rankings, {episode.id: episode for episode in episodes})
        return model


def _tuples(value: Any) -> Any:
    """Lists, which JSON makes of tuples, as tuples."""
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


def _config(fields: dict[str, Any]) -> RewardConfig:
    plain = {name: _tuples(value) for name, value in fields.items()}
    head = AspectConfig(**{k: _tuples(v) for k, v in plain.pop("head").items()})
    return RewardConfig(**plain, head=head)


def _ranking(fields: dict[str, Any]) -> Ranking:
    plain = {name: _tuples(value) for name, value in fields.items()}
    return Ranking(**{**plain, "created": datetime.fromisoformat(plain["created"])})

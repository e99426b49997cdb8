"""Ranking inside a notebook, with ipywidgets: the dashboard's questions without the dashboard."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import Any

import ipywidgets as widgets
import numpy as np

from tradinghf.episodes import Episode, Floats
from tradinghf.errors import FeedbackError
from tradinghf.feedback import AnswerOutcome, Query, Ranking
from tradinghf.feedback.store import Store
from tradinghf.serving._service import panel_order

_WIDTH, _HEIGHT = 250, 78
_COLOURS = {"price": "#57606a", "position": "#a06a00", "equity": "#1f6feb"}
_LETTERS = "ABCDEFGHIJKLMNOPQRST"


class Ballot:
    """Asks a store's questions, one after another, and stores the answers.

    Panels are blind: no names, no dates, prices and equity from 100, one scale for all. Give every
    panel a rank (1 is best, equal ranks are a tie) and submit.

    Args:
        store: questions come from here, and answers go there.
        rater: who answers.
        session: one sitting; held-out splits keep sessions whole.

    Attributes:
        box: the widget, which a notebook shows for the ballot.
        query: the question on display; None when there are no more.
        episodes: its episodes in panel order.

    """

    def __init__(self, store: Store, rater: str = "local", session: str = "notebook") -> None:
        self.box: Any = widgets.VBox()
        self.store, self.rater, self.session = store, rater, session
        self.query: Query | None = None
        self.episodes: list[Episode] = []
        self.note = widgets.Text(placeholder="A note, if you like")
        self.status = widgets.Label()
        self.submit = widgets.Button(description="Submit", button_style="primary")
        self.skip = widgets.Button(description="Skip")
        self.unsure = widgets.Button(description="Can't tell")
        self.submit.on_click(lambda _: self.answer([pick.value for pick in self.picks]))
        self.skip.on_click(lambda _: self.answer((), outcome="skipped"))
        self.unsure.on_click(lambda _: self.answer((), outcome="cant_tell"))
        self.picks: list[Any] = []
        self._next()

    def _repr_mimebundle_(self, **options: Any) -> Any:
        shown = self.box._repr_mimebundle_(**options) or {}
        return {**shown, "text/plain": f"Ballot of {self.rater}: {self.status.value}"}

    def answer(self, ranks: Sequence[int], *, outcome: AnswerOutcome = "ranked") -> Ranking:
        """Store an answer to the question on display, and show the next one.

        Args:
            ranks: rank of each panel, 1 = best, equal = tie; empty unless `outcome` is "ranked".
            outcome: "ranked", "skipped" or "cant_tell".

        Raises:
            FeedbackError: there is no question, or the ranks do not fit it.

        """
        if self.query is None:
            raise FeedbackError("There is no question left; queue more, then make a new Ballot.")
        ranking = Ranking(
            self._key,
            tuple(episode.id for episode in self.episodes),
            tuple(ranks),
            query=self.query.id,
            rater=self.rater,
            session=self.session,
            seconds=time.monotonic() - self._shown,
            comment=self.note.value,
            outcome=outcome,
        )
        self.store.submit(ranking)
        self._next()
        return ranking

    def _next(self) -> None:
        """Show the next question that is due."""
        self.query = self.store.next_query(self.rater, self.session)
        self._shown, self._key, self.note.value = time.monotonic(), uuid.uuid4().hex, ""
        if self.query is None:
            self.episodes, self.picks = [], []
            self.status.value = "No more questions. Thank you."
            self.box.children = (self.status,)
            return
        order = panel_order(self.query.id, self.rater, self.query.episodes)
        self.episodes = self.store.episodes(order)
        size = len(order)
        self.picks = [
            widgets.Dropdown(
                options=range(1, size + 1),
                value=place + 1,
                description=f"{_LETTERS[place]} is",
                layout=widgets.Layout(width=f"{_WIDTH}px"),
            )
            for place in range(size)
        ]
        pictures = [widgets.HTML(svg) for svg in panels(self.episodes)]
        rows = [widgets.VBox(pair) for pair in zip(pictures, self.picks, strict=True)]
        self.status.value = f"{self.store.pending(self.rater)} questions left. 1 is best."
        buttons = widgets.HBox([self.submit, self.skip, self.unsure, self.note])
        self.box.children = (widgets.HBox(rows), buttons, self.status)


def panels(episodes: Sequence[Episode]) -> list[str]:
    """One picture (SVG) per episode: price, position and equity, on scales that all share."""
    series = [
        {
            "price": 100 * e.close / e.close[0],
            "position": np.concatenate([[0.0], e.position]),
            "equity": 100 * e.equity,
        }
        for e in episodes
    ]
    spans = {
        name: (min(s[name].min() for s in series), max(s[name].max() for s in series))
        for name in _COLOURS
    }
    return [_picture(_LETTERS[i], one, spans) for i, one in enumerate(series)]


def _picture(letter: str, series: dict[str, Floats], spans: dict[str, Any]) -> str:
    """The panel of one episode; only numbers and our own words, so nothing needs escaping."""
    parts = []
    for row, (name, values) in enumerate(series.items()):
        low, high = spans[name]
        x = np.linspace(2, _WIDTH - 2, len(values))
        y = _HEIGHT * (row + 1) - 4 - (_HEIGHT - 20) * (values - low) / max(high - low, 1e-12)
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
        label = f"{letter}: {name}" if row == 0 else name
        parts.append(
            f'<text x="2" y="{_HEIGHT * row + 11}" font-size="11" fill="{_COLOURS[name]}">{label} '
            f'{values[-1]:.2f}</text><polyline points="{points}" fill="none" '
            f'stroke="{_COLOURS[name]}" stroke-width="1.3"/>'
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{3 * _HEIGHT}" '
        f'role="img" aria-label="Panel {letter}">{"".join(parts)}</svg>'
    )

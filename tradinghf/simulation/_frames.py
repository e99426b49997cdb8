"""An episode so far as a picture of pixels: what videos and `render_mode="rgb_array"` show.

Drawn with Pillow instead of a plotting library: a frame takes milliseconds and needs no browser.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from tradinghf.market import MarketData
from tradinghf.simulation._bars import Floats
from tradinghf.simulation._render import ACCENT, DOWN, UP, History, history_series

WIDTH, HEIGHT = 640, 480
_BACKGROUND, _LINE, _TEXT = "#0E1218", "#2A323D", "#D6DAE0"
_LEFT, _RIGHT = 56, 8
_PANELS = {"price": (22, 282), "position": (310, 376), "equity": (404, 472)}  # top, bottom [pixels]
_FONT = ImageFont.load_default(11)


@dataclass(frozen=True)
class _Panel:
    """One of the stacked charts: numbers to pixels.

    Attributes:
        draw: on the whole picture.
        top, bottom: of the chart [pixels].
        low, high: numbers at the bottom and the top.
        bars: places on the time axis.

    """

    draw: ImageDraw.ImageDraw
    top: int
    bottom: int
    low: float
    high: float
    bars: int

    def x(self, bar: float) -> float:
        """Middle of a bar [pixels]."""
        return _LEFT + (bar + 0.5) * self.step

    @property
    def step(self) -> float:
        """Width of a bar [pixels]."""
        return (WIDTH - _LEFT - _RIGHT) / self.bars

    def y(self, value: float) -> float:
        """Height of a number [pixels]."""
        share = (value - self.low) / (self.high - self.low)
        return self.bottom - share * (self.bottom - self.top)

    def frame(self, title: str) -> None:
        """Border, title, and the numbers at both ends."""
        self.draw.rectangle((_LEFT, self.top, WIDTH - _RIGHT, self.bottom), outline=_LINE)
        self.draw.text((_LEFT, self.top - 16), title, fill=_TEXT, font=_FONT)
        for value, y in ((self.high, self.top), (self.low, self.bottom - 12)):
            self.draw.text((4, y), f"{value:.5g}", fill=_TEXT, font=_FONT)

    def path(self, values: Floats, colour: str, *, steps: bool = False) -> None:
        """A line through one number per bar; with `steps` each is held from the bar before."""
        points: list[tuple[float, float]] = []
        for bar, value in enumerate(values):
            if steps and points:
                points.append((self.x(bar), points[-1][1]))
            points.append((self.x(bar), self.y(float(value))))
        if len(points) > 1:
            self.draw.line(points, fill=colour, width=2)


def episode_frame(
    market: MarketData, history: History, bars: int, assets: int = 1
) -> NDArray[np.uint8]:
    """The episode so far, on a time axis that is as long as the whole episode.

    Args:
        market: that the environment trades.
        history: `info` of the reset and of every step since.
        bars: of the whole episode, its first included: L + 1.
        assets: that the account trades.

    Returns:
        [480, 640, 3]: candles with fills, position and equity; of a portfolio the assets' prices,
        and one row of the position chart for each.

    """
    image = Image.new("RGB", (WIDTH, HEIGHT), _BACKGROUND)
    draw = ImageDraw.Draw(image)
    if assets == 1:
        _draw_candles(draw, market, history, bars)
        _draw_position(draw, history, bars)
    else:
        _draw_prices(draw, market, history, bars, assets)
        _draw_weights(draw, history, bars, assets)
    equity = history_series(history, "equity", 0, 1.0)
    panel = _panel(draw, "equity", equity, bars)
    panel.frame(f"equity {equity[-1]:.4f} [start = 1]")
    panel.path(equity, ACCENT)
    return np.asarray(image).copy()


def _panel(
    draw: ImageDraw.ImageDraw, name: str, values: Floats, bars: int, least: float = 1e-3
) -> _Panel:
    """A chart whose range just holds the values."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    pad = max(0.05 * (high - low), least * abs(high), 1e-9)
    return _Panel(draw, *_PANELS[name], low - pad, high + pad, bars)


def _draw_candles(
    draw: ImageDraw.ImageDraw, market: MarketData, history: History, bars: int
) -> None:
    start, asset = int(history[0]["start"]), int(history[0]["asset"])
    shown = slice(start, start + len(history))
    prices = np.stack([getattr(market, n)[shown, asset] for n in ("open", "high", "low", "close")])
    panel = _panel(draw, "price", prices, bars)
    panel.frame(f"{market.symbols[asset]}  {str(market.index[start + len(history) - 1])[:16]}")
    half = max(panel.step * 0.35, 1.0)
    for bar, (first, high, low, last) in enumerate(prices.T):
        colour, x = UP if last >= first else DOWN, panel.x(bar)
        draw.line((x, panel.y(high), x, panel.y(low)), fill=colour)
        top, bottom = panel.y(max(first, last)), panel.y(min(first, last))
        draw.rectangle((x - half, top, x + half, bottom), fill=colour)
    change = np.diff(history_series(history, "position", 0, 0.0), prepend=0.0)
    fills = history_series(history, "price", 0, np.nan)
    for at in np.flatnonzero(~np.isnan(fills) & (change != 0)):
        _draw_fill(panel, int(at), float(fills[at]), buys=change[at] > 0)


def _draw_fill(panel: _Panel, bar: int, price: float, *, buys: bool) -> None:
    """A triangle that points up for a buy, down for a sale."""
    x, y, size = panel.x(bar), panel.y(price), 5 if buys else -5
    corners = [(x, y - size), (x - 5, y + size), (x + 5, y + size)]
    panel.draw.polygon(corners, fill=UP if buys else DOWN, outline=_TEXT)


def _draw_position(draw: ImageDraw.ImageDraw, history: History, bars: int) -> None:
    held = history_series(history, "position", 0, 0.0)
    most = max(1.0, float(np.abs(held).max()))
    panel = _Panel(draw, *_PANELS["position"], -most, most, bars)
    panel.frame(f"position {held[-1]:+.2f} [of equity]")
    draw.line((_LEFT, panel.y(0.0), WIDTH - _RIGHT, panel.y(0.0)), fill=_LINE)
    panel.path(held, ACCENT, steps=True)


def _draw_prices(
    draw: ImageDraw.ImageDraw, market: MarketData, history: History, bars: int, assets: int
) -> None:
    start = int(history[0]["start"])
    close = market.close[start : start + len(history), :assets]
    relative = close / close[0]
    panel = _panel(draw, "price", relative, bars)
    panel.frame(f"{assets} closes [start = 1]  {str(market.index[start + len(history) - 1])[:16]}")
    for asset in range(assets):
        panel.path(relative[:, asset], UP if relative[-1, asset] >= 1 else DOWN)


def _draw_weights(draw: ImageDraw.ImageDraw, history: History, bars: int, assets: int) -> None:
    """A strip of colour for each asset: the stronger, the larger its part of the account."""
    weights = np.stack([np.resize(step.get("position", 0.0), assets) for step in history])
    panel = _Panel(draw, *_PANELS["position"], 0.0, float(assets), bars)
    panel.frame(f"positions, gross {np.abs(weights[-1]).sum():.2f}, net {weights[-1].sum():+.2f}")
    strongest = max(float(np.abs(weights).max()), 1e-9)
    for bar, row in enumerate(weights):
        for asset, weight in enumerate(row):
            if weight:
                colour = _shade(UP if weight > 0 else DOWN, abs(float(weight)) / strongest)
                x, y = panel.x(bar), panel.y(assets - asset)
                draw.rectangle(
                    (x - panel.step / 2, y, x + panel.step / 2, panel.y(assets - asset - 1)),
                    fill=colour,
                )


def _shade(colour: str, strength: float) -> tuple[int, ...]:
    """Between the background (0) and a colour (1)."""
    ends: Sequence[Any] = [
        np.array([int(c[i : i + 2], 16) for i in (1, 3, 5)]) for c in (_BACKGROUND, colour)
    ]
    return tuple(int(c) for c in ends[0] + (ends[1] - ends[0]) * min(strength, 1.0))

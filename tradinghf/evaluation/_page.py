"""HTML building blocks of the reports: one page, no request to anywhere."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from html import escape
from pathlib import Path

_ASSETS = Path(__file__).parent / "assets"


@lru_cache
def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


def _allowed(text: str) -> str:
    """Content-Security-Policy source that admits exactly this inline text."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def page(title: str, subtitle: str, body: Iterable[str]) -> str:
    """A complete document; the policy in its head forbids every request and foreign script."""
    script = _asset("report.js")
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src {_allowed(script)}"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{escape(title)}</title>
<style>{_asset("report.css")}</style>
</head>
<body>
<header><div><h1>{escape(title)}</h1><div class="sub">{escape(subtitle)}</div></div>
<button type="button" data-toggle aria-label="Light / dark: switch the theme">Light / dark</button>
</header>
<main>
{"".join(body)}
</main>
<script>{script}</script>
</body>
</html>
"""


def section(title: str, *parts: str, note: str = "") -> str:
    """A card with a heading; `parts` are HTML, `title` and `note` plain text."""
    tail = f'<p class="note">{escape(note)}</p>' if note else ""
    return f"<section><h2>{escape(title)}</h2>{''.join(parts)}{tail}</section>\n"


def pair(*sections: str) -> str:
    """Cards side by side where there is room."""
    return f'<div class="pair">{"".join(sections)}</div>\n'


def verdict_card(
    headline: str, reasons: Iterable[str], passed: bool | None, *, label: str = "Verdict"
) -> str:
    """The first card: the conclusion in words, then why."""
    kind = {True: " pass", False: " fail", None: ""}[passed]
    items = "".join(f"<li>{escape(reason)}</li>" for reason in reasons)
    return (
        f'<section class="verdict{kind}"><p class="label">{escape(label)}</p>'
        f'<p class="headline">{escape(headline)}</p><ul>{items}</ul></section>\n'
    )


def kpis(items: Iterable[tuple[str, str, str]]) -> str:
    """A strip of (name, value, small print)."""
    cells = "".join(
        f'<div class="kpi"><div class="name">{escape(name)}</div>'
        f'<div class="value">{escape(value)}</div><div class="more">{escape(more)}</div></div>'
        for name, value, more in items
    )
    return f'<section class="kpis">{cells}</section>\n'


# What scrolls can be reached by the keyboard, too.
_FOCUS = 'tabindex="0" role="region" aria-label="Table"'
_FITTING = 20  # columns of a heatmap


def table(
    head: Sequence[str], rows: Iterable[Sequence[str]], *, text_columns: Sequence[int] = (0,)
) -> str:
    """Plain-text cells; the first column is a heading, `text_columns` are aligned left."""

    def attribute(column: int) -> str:
        return ' class="text"' if column in text_columns else ""

    top = "".join(f'<th scope="col"{attribute(i)}>{escape(c)}</th>' for i, c in enumerate(head))
    lines = []
    for row in rows:
        first = f'<th scope="row"{attribute(0)}>{escape(row[0])}</th>'
        rest = "".join(
            f"<td{attribute(i)}>{escape(c)}</td>" for i, c in enumerate(row[1:], start=1)
        )
        lines.append(f"<tr>{first}{rest}</tr>")
    return (
        f'<div class="scroll" {_FOCUS}><table><thead><tr>{top}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def heat_table(
    corner: str, columns: Iterable[object], rows: Iterable[tuple[object, Iterable[str]]]
) -> str:
    """A table of coloured cells (`heat_cell`) with a heading for each row and column."""
    names = list(columns)
    wide = len(names) > _FITTING
    head = "".join(f'<th scope="col">{escape(str(name))}</th>' for name in names)
    lines = "".join(
        f'<tr><th scope="row">{escape(str(name))}</th>{"".join(cells)}</tr>' for name, cells in rows
    )
    return (
        f'<div class="scroll" {_FOCUS}><table class="heat" style="--columns:{len(names)}">'
        f"<thead><tr><th>{escape(corner)}</th>{head}</tr>"
        f"</thead><tbody>{lines}</tbody></table></div>"
        + (f'<p class="note">{len(names)} columns: it scrolls sideways.</p>' if wide else "")
    )


def heat_cell(value: float | None, scale: float, css: str = "", *, digits: int = 1) -> str:
    """A table cell coloured by sign and size; `scale` gets the full colour, None is empty."""
    if value is None:
        return "<td></td>"
    strength = min(abs(float(value)) / scale, 1.0) * 55
    hue = "--up" if value >= 0 else "--down"
    colour = f"background:color-mix(in srgb, var({hue}) {strength:.0f}%, transparent)"
    kind = f' class="{css}"' if css else ""
    return f'<td{kind} style="{colour}">{escape(number(float(value), digits))}</td>'


def facts(items: Iterable[tuple[str, str]]) -> str:
    """Names and values as a description list."""
    rows = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in items)
    return f"<dl>{rows}</dl>"


def code(text: str) -> str:
    """A block to copy."""
    return f"<pre>{escape(text)}</pre>"


def number(value: float | int | str | None, digits: int = 2, unit: str = "") -> str:
    """A metric for people; "n/a" where it is undefined."""
    if value is None:
        return "n/a"
    if isinstance(value, str):
        return value
    shown = f"{value:,}" if isinstance(value, int) else f"{value:,.{digits}f}"
    # "-0.00" would suggest a loss.
    shown = shown.removeprefix("-") if shown.strip("-0.,") == "" else shown
    return f"{shown}{unit}".replace("-", "−", 1) if shown.startswith("-") else f"{shown}{unit}"


def interval_text(low: float | None, high: float | None, missing: str = "n/a") -> str:
    """The ends of an interval; `missing` where it is undefined."""
    return missing if low is None or high is None else f"{number(low)} to {number(high)}"


def percent(value: float) -> str:
    """A fraction as percent, for axes."""
    return number(100 * value, 0 if abs(value) >= 0.1 or value == 0 else 1, " %")


def span_of(metrics: Mapping[str, float | int | str | None]) -> str:
    """The period of a report in words."""
    return f"{metrics['start']} to {metrics['end']}, {metrics['bars']:,} bars"


def spaced(name: str) -> str:
    """An identifier as words."""
    return name.replace("_", " ")

"""Results as files: tables as Parquet, pages as HTML, or through Chromium as PDF or PNG."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from tradinghf._outside_text import defused_table
from tradinghf.durable import atomic_path, write_atomic
from tradinghf.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd

    from tradinghf.evaluation._result import BacktestResult
    from tradinghf.evaluation._verdict import Verdict

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_SUFFIXES = (".html", ".pdf", ".png")
_WIDTH, _TALLEST = 1180, 12_000


def write_page(html: str, path: Path | str) -> Path:
    """Write a page to `path` in the format of its suffix; parent folders are created.

    Raises:
        ConfigError: the suffix is none of .html, .pdf, .png, or a PDF or PNG is wanted and no
            browser is installed, or it failed.

    """
    target = Path(path)
    suffix = target.suffix.lower()
    if suffix not in _SUFFIXES:
        raise ConfigError(f"{target.name!r} ends in {suffix!r}; expected one of {_SUFFIXES}.")
    if suffix == ".html":
        write_atomic(target, html.encode())
        return target
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "page.html"
        source.write_text(html, encoding="utf-8")
        with atomic_path(target.resolve()) as draft:
            _print(source, draft, Path(folder))
            if suffix == ".png":
                _trim(draft)
    return target


def write_table(table: pd.DataFrame, path: Path | str) -> Path:
    """Write a table as CSV where `path` says so, else as Parquet; parent folders are created.

    In CSV, text that a spreadsheet would run as a formula gets an apostrophe before it.
    """
    target = Path(path)
    with atomic_path(target) as draft:
        if target.suffix.lower() == ".csv":
            defused_table(table).to_csv(draft, index=False)
        else:
            table.to_parquet(draft)
    return target


def write_json(report: BacktestResult, verdict: Verdict, path: Path | str) -> Path:
    """Write what a backtest found as one JSON object: settings, metrics, verdict, trades.

    Keys: name, params, costs, terms, fill, engine, cash, data (name and sha256), metrics, notes,
    verdict (headline, passed, reasons, trials), trades. Nothing in it is NaN or infinite.
    """
    result = {
        "name": report.name,
        "params": report.params,
        "costs": asdict(report.costs),
        "terms": {k: asdict(v) for k, v in report.terms.named.items()},
        "events": sorted(report.terms.events),
        "fill": report.fill,
        "engine": report.engine,
        "cash": report.cash,
        "data": {"name": report.market.name, "sha256": report.market.sha256},
        "metrics": report.metrics,
        "notes": list(report.remarks),
        "verdict": {
            "headline": verdict.headline,
            "passed": verdict.passed,
            "reasons": list(verdict.reasons),
            "trials": verdict.trials,
        },
        "trades": json.loads(report.trades.to_json(orient="records", date_format="iso")),
    }
    target = Path(path)
    write_atomic(target, json.dumps(result, indent=2, allow_nan=False).encode() + b"\n")
    return target


def _print(source: Path, target: Path, folder: Path) -> None:
    browser = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if browser is None:
        raise ConfigError(
            f"Writing a {target.suffix} file needs Chromium or Chrome on the PATH (one of "
            f"{_BROWSERS}). Install one, or write .html and print it from any browser."
        )
    what = [f"--print-to-pdf={target}", "--no-pdf-header-footer"]
    if target.suffix.lower() == ".png":
        what = [f"--screenshot={target}", f"--window-size={_WIDTH},{_TALLEST}"]
    # Chromium refuses its sandbox to root; the page runs one script of ours and loads nothing.
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    options = ["--headless", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={folder}/p"]
    options += ["--no-sandbox"] if is_root else []
    command = [browser, *options, *what, source.as_uri()]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        reason = done.stderr.strip().splitlines()[-1:] or [f"status {done.returncode}"]
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = [str(error)]
    if not target.is_file():
        raise ConfigError(f"{browser} wrote no {target.suffix} file ({reason[0]}).")


def _trim(path: Path) -> None:
    """Cut the empty page below the content."""
    from PIL import Image, ImageChops

    with Image.open(path) as picture:
        flat = picture.convert("RGB")
    background = Image.new("RGB", flat.size, flat.getpixel((0, flat.height - 1)))
    box = ImageChops.difference(flat, background).getbbox()
    if box is not None:
        flat.crop((0, 0, flat.width, min(box[3] + 32, flat.height))).save(path)

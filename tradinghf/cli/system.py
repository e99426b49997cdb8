"""`tradinghf doctor`: is this installation fit to work?"""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec

from tradinghf.cli import output

SHOWN = ("torch", "gymnasium", "vectorbt", "pandas", "numpy", "streamlit", "sqlalchemy")
OPTIONAL = {"yfinance": "data", "ccxt": "data"}

Check = tuple[str, bool, str]  # what, fit?, detail


def doctor() -> int:
    """Check versions, device, data and bundled folders; exit code 1 when something is wrong.

    Example: `tradinghf doctor`
    """
    checks = [*versions(), device(), *folders(), sample(), disk()]
    output.table(
        ["check", "", "detail"],
        [(what, "ok" if fit else "PROBLEM", detail) for what, fit, detail in checks],
    )
    return 0 if all(fit for _, fit, _ in checks) else 1


def versions() -> Iterator[Check]:
    """Python and the packages that matter."""
    from tradinghf import __version__

    yield "tradinghf", True, f"{__version__} on Python {platform.python_version()}"
    for name in SHOWN:
        try:
            yield name, True, metadata.version(name)
        except metadata.PackageNotFoundError:
            yield name, False, "not installed; reinstall tradinghf"
    for name, extra in OPTIONAL.items():
        there = find_spec(name) is not None
        detail = metadata.version(name) if there else f"optional: pip install 'tradinghf[{extra}]'"
        yield name, True, detail


def device() -> Check:
    """Where tensors would live."""
    import torch

    if torch.cuda.is_available():
        return "device", True, f"cuda: {torch.cuda.get_device_name(0)}"
    return "device", True, f"cpu, {torch.get_num_threads()} threads (no CUDA device)"


def folders() -> Iterator[Check]:
    """The bundled strategies, data and dashboard."""
    from tradinghf.errors import ConfigError
    from tradinghf.resources import RESOURCES, resource_dir

    for name in RESOURCES:
        try:
            yield name, True, str(resource_dir(name))
        except ConfigError as error:
            yield name, False, str(error)


def sample() -> Check:
    """Whether real bars load, unaltered."""
    from tradinghf.errors import TradingHFError
    from tradinghf.market.sources import load_market

    try:
        market = load_market("sp500")
    except TradingHFError as error:
        return "sample data", False, str(error)
    return "sample data", True, f"sp500: {market.bars:,} bars, sha256 {market.sha256[:12]}"


def disk() -> Check:
    """Room for runs in the current folder."""
    free = shutil.disk_usage(".").free / 2**30
    return "disk", free >= 1, f"{free:.1f} GiB free here"

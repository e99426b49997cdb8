"""`tradinghf doctor` and `dashboard`: check the installation, serve the page."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from tradinghf.cli import _output as output
from tradinghf.cli._options import InputFile, InputPath, StoreName
from tradinghf.errors import check_setting
from tradinghf.serving import DashboardSettings, SignInMode

_PACKAGES = ("torch", "gymnasium", "vectorbt", "pandas", "numpy", "streamlit", "sqlalchemy")
_OPTIONAL = {"yfinance": "data", "ccxt": "data"}

_RUNS = Path("runs")
_Check = tuple[str, bool, str]  # what, fit?, detail


def doctor(*, store: StoreName = "store", runs: InputPath = _RUNS, repair: bool = False) -> int:
    """Check versions, device, data, store, runs and disk; exit code 1 when something is wrong.

    Example: `tradinghf doctor`

    Example: `tradinghf doctor --repair`

    Args:
        store: Where feedback is kept; checked to the last file when it is there.
        runs: Folder of training runs.
        repair: Remove what killed processes left half, and put damaged checkpoints aside.

    """
    given = runs.is_dir() or (runs == _RUNS and not runs.exists())
    check_setting(given, "--runs", str(runs), "a folder of training runs")
    checks = [
        *_check_versions(),
        _check_device(),
        *_check_folders(),
        _check_sample_data(),
        _check_store(store),
    ]
    checks += [_check_drafts(store, repair), *_check_runs(runs, repair), _check_disk()]
    output.table(
        ["check", "", "detail"],
        [(what, "ok" if fit else "PROBLEM", detail) for what, fit, detail in checks],
    )
    return 0 if all(fit for _, fit, _ in checks) else 1


def _check_versions() -> Iterator[_Check]:
    """Python and the packages that matter."""
    from tradinghf import __version__

    yield "tradinghf", True, f"{__version__} on Python {platform.python_version()}"
    for name in _PACKAGES:
        try:
            yield name, True, metadata.version(name)
        except metadata.PackageNotFoundError:
            yield name, False, "not installed; reinstall tradinghf"
    for name, extra in _OPTIONAL.items():
        there = find_spec(name) is not None
        detail = metadata.version(name) if there else f"optional: pip install 'tradinghf[{extra}]'"
        yield name, True, detail


def _check_device() -> _Check:
    """Where tensors would live."""
    import torch

    if torch.cuda.is_available():
        return "device", True, f"cuda: {torch.cuda.get_device_name(0)}"
    spin = os.environ.get("OMP_WAIT_POLICY", "").lower() != "passive"
    waits = "spin while they wait, slow beside other work" if spin else "sleep while they wait"
    return "device", True, f"cpu, {torch.get_num_threads()} threads that {waits} (no CUDA device)"


def _check_folders() -> Iterator[_Check]:
    """The bundled strategies, data and dashboard."""
    from tradinghf.errors import ConfigError
    from tradinghf.resources import RESOURCES, resource_dir

    for name in RESOURCES:
        try:
            yield name, True, str(resource_dir(name))
        except ConfigError as error:
            yield name, False, str(error)


def _check_sample_data() -> _Check:
    """Whether real bars load, unaltered."""
    from tradinghf.errors import TradingHFError
    from tradinghf.market import load_market

    try:
        market = load_market("sp500")
    except TradingHFError as error:
        return "sample data", False, str(error)
    return "sample data", True, f"sp500: {market.bars:,} bars, sha256 {market.sha256[:12]}"


def _check_store(store: str) -> _Check:
    """Whether the feedback store, if there is one, is whole."""
    from tradinghf.errors import TradingHFError
    from tradinghf.feedback.store import Store, locate

    try:
        place = locate(store)
        if place.sqlite and not place.database.is_file():
            return "store", True, f"none at {place}"
        with Store(store) as bank:
            found = bank.verify()
    except TradingHFError as error:
        return "store", False, str(error)
    counts = f"{found.episodes:,} episodes, {found.rankings:,} rankings"
    return "store", found.ok, "; ".join([f"{place}: {counts}", *found.problems])


def _check_drafts(store: str, repair: bool) -> _Check:
    """Files beside the store that a killed writer left half."""
    from tradinghf.errors import TradingHFError
    from tradinghf.feedback.store import abandoned_drafts, locate, remove_drafts

    try:
        found = abandoned_drafts(locate(store).folder)
    except TradingHFError as error:
        return "drafts", False, str(error)
    if found and repair:
        remove_drafts(found)
        return "drafts", True, f"{len(found)} removed"
    hint = "; they do no harm: tradinghf doctor --repair removes them" if found else ""
    return "drafts", True, f"{len(found)} left by killed processes{hint}"


def _check_runs(runs: Path, repair: bool) -> Iterator[_Check]:
    """Run directories: whether their newest checkpoints can be continued from."""
    from tradinghf.errors import CheckpointError
    from tradinghf.learning.runs import RunDirectory

    folders = sorted(path.parent for path in runs.glob("*/checkpoints"))
    baselines = sorted(path.parent for path in runs.glob("*/baselines/*/checkpoints"))
    for folder in (*folders, *baselines):
        name = folder.relative_to(runs)
        run = RunDirectory(folder)
        try:
            problems = run.repair() if repair else run.problems()
        except CheckpointError as error:
            yield f"run {name}", True, str(error)
            continue
        hint = "; repaired" if repair else "; tradinghf doctor --repair puts them aside"
        if problems:
            yield f"run {name}", repair, "; ".join(problems) + hint
    yield "runs", True, f"{len(folders)} in {runs}"


def _check_disk() -> _Check:
    """Room for runs in the current folder."""
    free = shutil.disk_usage(".").free / 2**30
    return "disk", free >= 1, f"{free:.1f} GiB free here"


def dashboard(
    *,
    store: StoreName = "store",
    port: int = 8501,
    address: str = "127.0.0.1",
    auth: SignInMode = "none",
    hosts: str = "",
    runs: InputPath = Path("runs"),
    goal: int = 30,
    data_folder: InputFile = None,
    browser: bool = False,
) -> None:
    """Serve the page where traders rank episodes; stop it with Ctrl+C.

    Example: `tradinghf dashboard --store store --browser`

    Args:
        store: Where feedback is kept: a folder, a .db file, or a postgresql:// URL.
        port: TCP port; 0 picks a free one.
        address: IP address to listen on; anything but this machine's own needs --auth.
        auth: Nobody signs in, users with passwords, or your identity provider.
        hosts: Names under which a team reaches the server, separated by commas.
        runs: Folder of training runs.
        goal: Rankings per session shown as the goal.
        data_folder: A folder of this machine whose bar files admins may take on the page Data.
        browser: Open the page in the browser.

    """
    from tradinghf.serving import serve

    served = "" if data_folder is None else str(data_folder)
    known = data_folder is None or data_folder.is_dir()
    check_setting(known, "--data-folder", served, "a folder of this machine")
    settings = DashboardSettings(store, str(runs), auth, hosts, goal, data_folder=served)
    serve(settings, port=port, address=address, open_browser=browser)

"""Where the bundled folders live: in the wheel, or in the checkout."""

from __future__ import annotations

from pathlib import Path

from tradinghf.errors import ConfigError

RESOURCES = ("strategies", "data", "dashboard")


def resource_dir(name: str) -> Path:
    """Folder of a bundled resource: `tradinghf/_bundled/NAME` in a wheel, else the checkout's.

    Raises:
        ConfigError: the name is unknown, or the installation lacks the folder.

    """
    if name not in RESOURCES:
        raise ConfigError(f"Unknown resource folder {name!r}; expected one of {RESOURCES}.")
    package = Path(__file__).resolve().parent
    for folder in (package / "_bundled" / name, package.parent / name):
        if folder.is_dir():
            return folder
    raise ConfigError(
        f"The folder {name!r} is missing from this installation of tradinghf. "
        "Reinstall the package, or run from a full checkout."
    )

"""The bundled folders of an installation, and the version of its code."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from tradinghf.errors import ConfigError

RESOURCES = {
    "strategies": "strategies",
    "data": "data",
    "dashboard": "dashboard",
    "leaks": "benchmarks/leaks",
}
"""Name -> folder in a checkout."""


def resource_dir(name: str) -> Path:
    """Folder of a bundled resource: `tradinghf/_bundled/NAME` in a wheel, else the checkout's.

    Raises:
        ConfigError: the name is unknown, or the installation lacks the folder.

    """
    if name not in RESOURCES:
        raise ConfigError(f"Unknown resource folder {name!r}; expected one of {tuple(RESOURCES)}.")
    package = Path(__file__).resolve().parent
    for folder in (package / "_bundled" / name, package.parent / RESOURCES[name]):
        if folder.is_dir():
            return folder
    raise ConfigError(
        f"The folder {name!r} is missing from this installation of tradinghf. "
        "Reinstall the package, or run from a full checkout."
    )


def strategy_hashes(strategies: Iterable[str]) -> dict[str, str]:
    """Strategy as text -> SHA-256 of its file; those whose file cannot be read are left out.

    Args:
        strategies: NAME of one that ships, FILE.py or FILE.py:function, with settings or not.

    """
    found = {}
    for text in strategies:
        own = re.match(r"(.+?\.py)(:|$)", text)
        name = f"{text.partition(':')[0]}.py"
        try:
            file = Path(own[1]) if own else resource_dir("strategies") / name
            found[text] = sha256(file.read_bytes()).hexdigest()
        except OSError:  # of a notebook, or read elsewhere: trading says what is missing
            continue
    return found


@lru_cache
def code_version() -> str:
    """The exact code: version, commit where it is a checkout, and a hash of the source files.

    The hash tells edited code from committed code, and works without git.
    """
    from tradinghf import __version__

    package = Path(__file__).resolve().parent
    digest = sha256()
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package).as_posix()
        digest.update(name.encode() + b"\0" + path.read_bytes())
    commit = _commit(package.parent)
    return f"{__version__}{f'+{commit}' if commit else ''} (source {digest.hexdigest()[:12]})"


def _commit(checkout: Path) -> str:
    """First digits of the commit that is checked out; empty where there is none."""
    head = checkout / ".git" / "HEAD"
    try:
        text = head.read_text().strip()
        if text.startswith("ref: "):
            text = (head.parent / text[5:]).read_text().strip()
    except OSError:
        return ""
    return text[:12]

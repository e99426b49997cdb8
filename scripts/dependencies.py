"""What tradinghf rests on: docs/dependencies.md with every licence, and a bill of materials.

    python scripts/dependencies.py              # renews docs/dependencies.md (`make docs`)
    python scripts/dependencies.py --check      # says whether it is up to date (`make check`)
    python scripts/dependencies.py --sbom FILE  # CycloneDX 1.6, as each build of a wheel

Packages and hashes are those of requirements.lock; licences are what the installed packages say of
themselves. The bill takes them from the page, so that a build needs none of the packages.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
import uuid
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LOCK, PAGE = ROOT / "requirements.lock", ROOT / "docs" / "dependencies.md"
# What a package's own metadata lack or say at such length that nobody would read it.
SAID = {
    "vectorbt": "Apache-2.0 with Commons-Clause-1.0",
    "torch": "BSD-3-Clause",
    "peewee": "MIT",
    "appnope": "BSD-2-Clause",
}
# Terms beyond naming the author; what each asks of you is on the page.
NOTABLE = re.compile(r"GPL|MPL|Mozilla|Commons|EPL|CDDL|proprietary|unknown", re.I)
SHORT = {
    "MIT License": "MIT", "The MIT License": "MIT", "Apache Software License": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0", "Apache 2.0": "Apache-2.0", "BSD License": "BSD",
    "BSD 3-Clause": "BSD-3-Clause", "Python Software Foundation License": "PSF-2.0",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0", "ISC License (ISCL)": "ISC",
    "BSD 3-Clause License": "BSD-3-Clause", "3-Clause BSD License": "BSD-3-Clause",
    "2-clause BSD": "BSD-2-Clause", "Apache 2.0 License": "Apache-2.0",
    "GNU Affero General Public License v3 or later (AGPLv3+)": "AGPL-3.0-or-later",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
}  # fmt: skip
HEAD = """# Dependencies and their licences

Every package that `make setup` installs, as `requirements.lock` pins it, with the licence that it
states. tradinghf itself is Apache-2.0. Written by `scripts/dependencies.py`; each wheel carries the
same list as a bill of materials (CycloneDX 1.6, with the hashes of the lock) in
its bundled files, sbom.cdx.json.

These ask for more than that their author is named:

"""
MIDDLE = """
- **Commons Clause** (vectorbt): use inside your business is fine; selling what it does is not.
- **LGPL** (psycopg, for PostgreSQL alone): who uses your program may replace it; as a package of
  its own they can.
- **MPL** (certifi and others): changes of its own files are published; your files are yours.
- **AGPL** (backtesting, of the extras `samples` and `dev` alone): tradinghf reads its sample bars;
  only tests import it.
- **Unknown**: for Emscripten alone, and not installed where this page was written.

| package | version | licence |
|---|---|---|
"""


def locked() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Name -> (version, sha256 of its files) of requirements.lock."""
    found = {}
    for block in re.split(r"\n(?=[a-z0-9])", LOCK.read_text())[1:]:
        name, version = block.split(" ")[0].strip("\\\n").split("==")
        found[name] = (version, tuple(re.findall(r"--hash=sha256:([0-9a-f]{64})", block)))
    return found


def licence(name: str) -> str:
    """What an installed package says of its licence; empty where it is not installed."""
    if name in SAID:
        return SAID[name]
    try:
        about = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return ""
    if stated := about.get("License-Expression"):
        return str(stated)
    kinds = [c.split(" :: ")[-1] for c in about.get_all("Classifier") or () if "License ::" in c]
    kinds = [kind for kind in kinds if kind != "OSI Approved"]
    stated = str(about.get("License") or "").strip()
    short = stated if len(stated.splitlines()) == 1 and len(stated) < 60 else ""
    found = " or ".join(kinds) if kinds and (kinds != ["BSD License"] or not short) else short
    return SHORT.get(found, found) or "unknown"


def earlier() -> dict[str, str]:
    """Package -> licence of the page as it is."""
    text = PAGE.read_text() if PAGE.is_file() else ""
    return dict(re.findall(r"^\| `([^`]+)` \| [^|]+ \| (.+) \|$", text, re.M))


def page() -> str:
    """The document; what is for other systems only keeps the licence that was noted before."""
    before = earlier()
    rows = {n: (v, licence(n) or before.get(n, "unknown")) for n, (v, _) in locked().items()}
    rows["torch"] = ("by machine", licence("torch"))
    table = [f"| `{name}` | {v} | {said} |\n" for name, (v, said) in sorted(rows.items())]
    more = [
        f"- `{name}`: {said}\n" for name, (_, said) in sorted(rows.items()) if NOTABLE.search(said)
    ]
    return HEAD + "".join(more) + MIDDLE + "".join(table)


def bill() -> dict[str, Any]:
    """The bill of materials; the same sources give the same document."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    licences = earlier()
    own = f"pkg:pypi/tradinghf@{project['version']}"
    components = [
        {
            "type": "library",
            "bom-ref": f"pkg:pypi/{name}@{version}",
            "name": name,
            "version": version,
            "purl": f"pkg:pypi/{name}@{version}",
            "licenses": [{"license": {"name": licences.get(name, "unknown")}}],
            "externalReferences": [
                {
                    "type": "distribution",
                    "url": f"pkg:pypi/{name}@{version}",
                    "hashes": [{"alg": "SHA-256", "content": one} for one in hashes],
                }
            ],
        }
        for name, (version, hashes) in locked().items()
    ]
    root = {
        "type": "application", "bom-ref": own, "name": "tradinghf", "purl": own,
        "version": project["version"], "licenses": [{"license": {"id": project["license"]}}],
    }  # fmt: skip
    content = json.dumps([root, components])
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, content)}",
        "version": 1,
        "metadata": {"component": root},
        "components": components,
        "dependencies": [{"ref": own, "dependsOn": [c["bom-ref"] for c in components]}],
    }


def main(arguments: list[str]) -> int:
    """Write the page or a bill, or compare the page; returns the exit code."""
    if arguments[:1] == ["--sbom"]:
        Path(arguments[1]).write_text(json.dumps(bill(), indent=1) + "\n")
        return 0
    if "--check" not in arguments:
        PAGE.write_text(page())
    elif not PAGE.is_file() or PAGE.read_text() != page():
        sys.stderr.write("docs/dependencies.md is out of date: run scripts/dependencies.py\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

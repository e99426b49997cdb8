"""The wheel works from any folder, and what pyproject.toml promises is pinned and bundled."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from collections.abc import Mapping
from email.parser import Parser
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from support.source import ROOT, parsed

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def constraints() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {name: version for name, version in pairs}


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**env, "COLUMNS": "100", "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_constraints_pin_every_requirement_to_a_version_it_allows() -> None:
    pins = constraints()
    lines = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]
    for line in lines:
        need = Requirement(line)
        version = pins.get(canonicalize_name(need.name))
        assert version, f"constraints.txt lacks {need.name}: run `make lock`"
        assert need.specifier.contains(version), f"{line} excludes the pinned {version}"


def test_the_lock_has_hashes_of_every_version_that_setup_installs() -> None:
    blocks = re.split(r"\n(?=[a-z0-9])", (ROOT / "requirements.lock").read_text().strip())[1:]
    found = {}
    for block in blocks:
        head, *hashes = block.replace("\\\n", "\n").split("\n")
        name, version = re.match(r"([a-z0-9._-]+)==([^ ;]+)", head).groups()
        assert hashes, f"{name} has no hash: run `make lock`"
        assert all(re.fullmatch(r" +--hash=sha256:[0-9a-f]{64} ?", line) for line in hashes), name
        found[name] = version
    pins = constraints()
    both = set(found) & set(pins)
    assert {n: found[n] for n in both} == {n: pins[n] for n in both}, "run `make lock`"
    extras = PROJECT["optional-dependencies"]
    for line in [*PROJECT["dependencies"], *extras["dev"], *extras["team"], *extras["nlp"]]:
        name = canonicalize_name(Requirement(line).name)
        assert name in found or name == "torch", f"requirements.lock lacks {name}: run `make lock`"


def test_what_is_installed_is_what_the_lock_says() -> None:
    done = run(sys.executable, ROOT / "scripts" / "lock.py", "--check", cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_version_is_the_same_everywhere() -> None:
    import tradinghf

    assert PROJECT["version"] == tradinghf.__version__
    assert f"## {tradinghf.__version__}" in (ROOT / "CHANGELOG.md").read_text()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the sdist of a copy of the checkout in which a user dropped bars."""
    copy = tmp_path_factory.mktemp("checkout")
    for folder in ("tradinghf", "strategies", "data", "dashboard", "scripts"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, copy)
    (copy / "docs").mkdir()
    shutil.copy(ROOT / "docs" / "dependencies.md", copy / "docs")
    (copy / "data" / "mine.csv").write_text("private")
    assets = copy / "dashboard" / "component" / "assets"
    assets.mkdir(parents=True, exist_ok=True)
    (assets / "fetched.js").write_text("// fetched at set-up, ignored by git")
    out = tmp_path_factory.mktemp("wheel")
    built = run(
        *(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, copy),
        cwd=out,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return next(out.glob("*.whl"))


def test_the_wheel_says_what_it_rests_on(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        bill = json.loads(archive.read("tradinghf/_bundled/sbom.cdx.json"))
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert bill["metadata"]["component"]["version"] == PROJECT["version"]
    found = {part["name"]: part for part in bill["components"]}
    pins = constraints()
    for line in PROJECT["dependencies"]:
        if (name := canonicalize_name(Requirement(line).name)) != "torch":
            assert found[name]["purl"] == f"pkg:pypi/{name}@{pins[name]}"
            assert found[name]["externalReferences"][0]["hashes"]
    licences = {name: part["licenses"][0]["license"]["name"] for name, part in found.items()}
    assert licences["psycopg"] == "LGPL-3.0-only"
    assert licences["certifi"] == "MPL-2.0"
    assert "Commons-Clause" in licences["vectorbt"]
    assert [name for name, said in licences.items() if said == "unknown"] == ["httpx2-jsfetch"]


def test_the_page_of_dependencies_is_up_to_date() -> None:
    done = run(sys.executable, ROOT / "scripts" / "dependencies.py", "--check", cwd=ROOT)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a fresh environment that has tradinghf from the wheel alone.

    Its dependencies are this environment's, by path: downloading them again would prove nothing
    about the wheel. This environment's editable install of tradinghf is not visible through a
    path file, because path files are read in site folders only.
    """
    home = tmp_path_factory.mktemp("fresh")
    made = run(sys.executable, "-m", "venv", "--without-pip", home / "venv", cwd=home)
    assert made.returncode == 0, made.stderr
    python = home / "venv" / "bin" / "python"
    pip = run(
        *(sys.executable, "-m", "pip", "--python", python, "install", "-q"),
        *("--no-deps", "--no-index", wheel),
        cwd=home,
    )
    assert pip.returncode == 0, pip.stderr
    site = next((home / "venv" / "lib").glob("python*/site-packages"))
    (site / "outer.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return python.parent


def test_wheel_carries_the_bundled_folders_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        about = next(name for name in names if name.endswith("METADATA"))
        about_it = Parser().parsestr(archive.read(about).decode())
    bundled = "tradinghf/_bundled/"
    assert f"{bundled}strategies/sma_cross.py" in names
    assert f"{bundled}data/README.md" in names
    assert f"{bundled}dashboard/app.py" in names
    assert f"{bundled}dashboard/component/assets/fetched.js" in names
    assert f"{bundled}data/mine.csv" not in names
    assert "tradinghf/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    tops = {name.split("/")[0] for name in names}
    assert tops == {"tradinghf", f"tradinghf-{PROJECT['version']}.dist-info"}
    assert not [n for n in names if "__pycache__" in n or n.endswith((".pyc", ".sqlite"))]
    assert about_it["License-Expression"] == "Apache-2.0"
    assert about_it["Requires-Python"] == ">=3.11"


def test_installed_wheel_runs_from_another_folder(installed: Path, tmp_path: Path) -> None:
    where = run(
        installed / "python", "-c", "import tradinghf; print(tradinghf.__file__)", cwd=tmp_path
    )
    assert str(installed.parent) in where.stdout, "the test must not see the checkout"

    listed = run(installed / "tradinghf", "data", "list", cwd=tmp_path)
    assert listed.returncode == 0, listed.stderr
    assert "sp500" in listed.stdout

    report = tmp_path / "report.html"
    tested = run(
        *(installed / "tradinghf", "backtest", "sma_cross", "--data", "sp500"),
        *("--report", report),
        cwd=tmp_path,
    )
    assert tested.returncode == 0, tested.stderr
    assert "buy and hold" in tested.stdout
    assert report.stat().st_size > 10_000


@cache
def distributions() -> Mapping[str, list[str]]:
    """Top-level import -> what installs it."""
    return metadata.packages_distributions()


def third_party_imports(folder: str) -> dict[str, set[str]]:
    """Top-level import -> files, of everything outside the standard library and this package."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(parsed(path)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names = [node.module]
            for name in names:
                top = name.split(".")[0]
                if top not in sys.stdlib_module_names and top != "tradinghf":
                    found.setdefault(top, set()).add(path.name)
    return found


@pytest.mark.parametrize(
    "folder", ["tradinghf", "strategies", "dashboard", "tests", "scripts", "benchmarks"]
)
def test_every_import_is_a_declared_dependency(folder: str) -> None:
    for_users = folder in ("tradinghf", "strategies", "dashboard")
    lines = list(PROJECT["dependencies"])
    for name, extra in PROJECT["optional-dependencies"].items():
        lines.extend([] if name == "dev" and for_users else extra)
    declared = {canonicalize_name(Requirement(line).name) for line in lines}
    owners = distributions()
    own = {p.name for p in (ROOT / "tests").iterdir()}  # the folders that tests import from
    own |= {p.stem for place in ("tests", "scripts", folder) for p in (ROOT / place).rglob("*.py")}
    for top, files in third_party_imports(folder).items():
        names = {canonicalize_name(name) for name in owners.get(top, [top])}
        found = names & declared or top in own
        assert found, f"{sorted(files)} import {top}, which pyproject.toml does not list"


HEAVY = {
    "arch",
    "numba",
    "pandas",
    "plotly",
    "scipy",
    "sklearn",
    "sqlalchemy",
    "streamlit",
    "torch",
}
HEAVY |= {"matplotlib", "numpy", "pyarrow", "transformers", "vectorbt"}


def loaded(python, code: str) -> set[str]:
    """Which heavy packages a piece of code loads, by Python's own list of modules."""
    done = python("-c", f"{code}\nimport sys; print(*sys.modules)")
    assert done.returncode == 0, done.stderr
    return {name.split(".")[0] for name in done.stdout.split()} & HEAVY


def test_importing_the_package_is_cheap(python) -> None:
    """What costs time is what is loaded; seconds would measure the machine."""
    assert loaded(python, "import tradinghf; dir(tradinghf)") == set()
    done = python("-X", "importtime", "-c", "import tradinghf")
    own = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    assert len(own) < 120, "half of them are the interpreter's own"


def test_the_environment_needs_neither_backtests_nor_dashboard(python) -> None:
    """Training on a cluster node: no vectorbt, numba's compiler or streamlit in the process."""
    code = (
        "from tradinghf import MarketEnv, load_market\n"
        "env = MarketEnv(load_market('synthetic:bars=200'), num_envs=2)\n"
        "env.reset(seed=0); env.step([4, 0])\n"
        "import gymnasium, tradinghf.simulation\n"
        "gymnasium.make('tradinghf/Market-v0', market='synthetic:bars=200').reset(seed=0)\n"
    )
    found = loaded(python, code)
    assert "torch" in found
    assert not found & {"vectorbt", "streamlit", "sqlalchemy", "matplotlib", "transformers"}


def test_every_extra_is_named_in_the_readme_or_the_documents() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), ROOT / "CONTRIBUTING.md"]
    text = "\n".join(page.read_text() for page in pages)
    for extra in PROJECT["optional-dependencies"]:
        assert f"`{extra}`" in text or f"tradinghf[{extra}]" in text, extra


@pytest.mark.parametrize(
    ("writes", "code", "words"),
    [
        ("", 3, "NOT RUN: the advisory service gave no answer"),
        ('{"dependencies": []}', 3, "NOT RUN"),
        ('{"dependencies": [{"name": "a", "version": "1", "vulns": []}]}', 0, "1 packages, 0"),
        (
            '{"dependencies": [{"name": "a", "version": "1", "vulns": [{"id": "CVE-1"}]}]}',
            1,
            "a 1: CVE-1",
        ),
    ],
)
def test_an_audit_that_got_no_answer_does_not_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: str, code: int, words: str
) -> None:
    program = tmp_path / "pip-audit"
    text = f"cat > \"${{@: -1}}\" <<'END'\n{writes}\nEND" if writes else "exit 1"
    program.write_text(f"#!/usr/bin/env bash\n{text}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PIP_AUDIT", str(program))
    done = run(ROOT / "scripts" / "audit", cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert words in done.stdout + done.stderr


def test_the_schedule_tries_the_newest_versions_and_the_audit(root: Path) -> None:
    """What the world did to us meanwhile is asked every week, and neither hides the other."""
    lines = (root / ".ci/weekly").read_text()
    assert "NEWEST=1 scripts/check_wheels" in lines
    assert "make audit" in lines
    assert "exit $failed" in lines

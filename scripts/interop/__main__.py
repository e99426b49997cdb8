"""The table of docs/interop.md: unmodified libraries tried with our environments.

    python scripts/interop              # try all, write the results and the table
    python scripts/interop --check      # try all; fails where a case ends otherwise than written
    python scripts/interop --table      # only the table, from the results that are there

Run it in an environment with every extra (`make interop` does). What cannot live beside the
versions there, or is no extra, gets an environment of its own over this one, in build/interop.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import sysconfig
import tempfile
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
CASES = Path(__file__).resolve().parent / "cases.py"
RESULTS = ROOT / "benchmarks" / "results" / "interop.json"
PAGE = ROOT / "docs" / "interop.md"
START, END = "<!-- interop -->", "<!-- end interop -->"
SECONDS = 240
"""That one library may take; the slowest, RLlib, takes 60 beside seven other processes."""


@dataclass(frozen=True)
class Library:
    """What is tried.

    Attributes:
        key: as in cases.py.
        name: for the table.
        packages: what pip installs over the environment that runs this; () nothing.
        dependencies: whether pip also installs what they ask for.
        note: about the versions, for the table.

    """

    key: str
    name: str
    packages: tuple[str, ...] = ()
    dependencies: bool = True
    note: str = ""


LIBRARIES = (
    Library("gymnasium", "Gymnasium"),
    Library("stable-baselines3", "Stable-Baselines3"),
    Library("cleanrl", "CleanRL (`ppo.py` of commit fe8d8a0)"),
    Library("torchrl", "TorchRL"),
    Library(
        "rllib",
        "RLlib",
        ("gymnasium==1.2.2", "dm-tree", "lz4", "ormsgpack", "tensorboardX"),
        note="it pins Gymnasium 1.2.2, so it needs an environment of its own",
    ),
    Library(
        "tianshou",
        "tianshou",
        ("tianshou==2.0.1", "pandas<3"),
        note="it wants pandas below 3, and vectorbt 1.2 pandas 3, so backtests need another "
        "environment; pip beside our pins takes its 0.5.1 of 2023",
    ),
    Library(
        "pufferlib",
        "PufferLib",
        ("pufferlib-core==3.0.23",),
        dependencies=False,
        note="the wheel pins torch 2.9.0 and is installed without its dependencies; the source of "
        "`pufferlib` 3.0.0 downloads a game engine while it builds",
    ),
    Library("skrl", "skrl", ("skrl==2.1.1",)),
)
EXPLAINED = {
    "ppo.py as it is logs episodic returns": "it reads `final_info` as Gymnasium 0.29 gave it; "
    "from Gymnasium 1.0 on it logs no episode of any environment, CartPole-v1 neither (the case "
    "tries)",
}
"""Why a case fails that is not ours to mend; everything else that fails is shown as its error."""


def python_of(library: Library) -> str:
    """The interpreter that has a library; its environment is made on first use.

    Raises:
        RuntimeError: pip could not install it.

    """
    if not library.packages:
        return sys.executable
    home = ROOT / "build" / "interop" / library.key
    python, done = home / "bin" / "python", home / "installed"
    wanted = " ".join(library.packages)
    if not done.is_file() or done.read_text() != wanted:
        venv.create(home, with_pip=True, clear=True)
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        packages = home / "lib" / version / "site-packages"
        (packages / "_base.pth").write_text("\n".join(site_folders()) + "\n")
        extra = [] if library.dependencies else ["--no-deps"]
        command = [str(python), "-m", "pip", "install", "-q", *extra, *library.packages]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        if found.returncode:
            lines = found.stderr.strip().splitlines() or ["no message"]
            raise RuntimeError(f"pip cannot install {wanted}: {lines[-1]}")
        done.write_text(wanted)
    return str(python)


def site_folders() -> list[str]:
    """Where this environment's packages are, and those of the one below it."""
    own = Path(sysconfig.get_path("purelib"))
    below = own / "_base.pth"
    return [str(own), *(below.read_text().split() if below.is_file() else ())]


def tried(library: Library) -> dict[str, Any]:
    """Versions, and what became of each case: "" passed, otherwise why not."""
    try:
        python = python_of(library)
    except RuntimeError as error:
        return {"versions": {}, "cases": {"installs": str(error)}}
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    code, said, complaints = run([python, str(CASES), library.key], env)
    last = complaints.strip().splitlines()[-1:]
    if code is None:
        return {"versions": {}, "cases": {"ends": f"not within {SECONDS} s; it said last: {last}"}}
    try:
        found: dict[str, Any] = json.loads(said.strip().splitlines()[-1])
    except (IndexError, json.JSONDecodeError):
        return {"versions": {}, "cases": {"runs": f"exit code {code}: {last}"}}
    return found


def run(command: list[str], env: dict[str, str]) -> tuple[int | None, str, str]:
    """Exit code (None: it did not end and was killed), output and errors of a command.

    Into files: servers that a library starts and leaves keep a pipe open, and its reader waiting.
    """
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        child = subprocess.Popen(
            command, stdout=output, stderr=errors, env=env, start_new_session=True
        )
        try:
            code = child.wait(SECONDS)
        except subprocess.TimeoutExpired:
            code = None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        output.seek(0)
        errors.seek(0)
        return code, output.read(), errors.read()


def table(results: dict[str, Any]) -> str:
    """Markdown: a row per library, its versions, what passes, and why the rest does not."""
    lines = [
        "| library | version | with Gymnasium | passes | does not, and why |",
        "|---|---|---|---|---|",
    ]
    for library in LIBRARIES:
        found = results[library.key]
        own, *others = list(found["versions"].items()) or [("", "")]
        gymnasium = dict([own, *others]).get("gymnasium", "")
        passed = [name for name, why in found["cases"].items() if not why]
        failed = [
            f"{name}: {EXPLAINED.get(name, f'`{why}`')}"
            for name, why in found["cases"].items()
            if why
        ]
        notes = [library.note] if library.note else []
        version = "" if library.key == "cleanrl" else own[1]
        lines.append(
            f"| {library.name} | {version} | {gymnasium} | {'; '.join(passed) or 'nothing'} | "
            f"{'. '.join([*failed, *notes]) or ''} |"
        )
    return "\n".join(lines)


def with_table(page: str, results: dict[str, Any]) -> str:
    """The page with the table between its marks."""
    before, _, rest = page.partition(START)
    _, _, after = rest.partition(END)
    return f"{before}{START}\n{table(results)}\n{END}{after}"


def differences(was: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Cases that end otherwise than the written results say."""
    found = []
    for key, result in now.items():
        before = was.get(key, {}).get("cases", {})
        for name in dict.fromkeys([*before, *result["cases"]]):
            old, new = before.get(name, "not there"), result["cases"].get(name, "not there")
            if bool(old) != bool(new):
                found.append(f"{key}, {name}: {new or 'passes'} (written: {old or 'passes'})")
    return found


def main() -> int:
    """Try, and write or compare; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail where it differs")
    parser.add_argument("--table", action="store_true", help="only renew the table")
    parser.add_argument("--only", nargs="+", help="libraries, by the names of cases.py")
    options = parser.parse_args()
    written: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    now = {}
    for library in () if options.table else LIBRARIES:
        if options.only and library.key not in options.only:
            continue
        now[library.key] = tried(library)
        for name, why in now[library.key]["cases"].items():
            sys.stdout.write(f"{library.name}: {name}: {why or 'passes'}\n")
            sys.stdout.flush()
    if options.check:
        found = differences(written, now)
        if PAGE.read_text() != with_table(PAGE.read_text(), written):
            found.append("docs/interop.md: the table is not that of the results (--table)")
        sys.stderr.writelines(f"{line}\n" for line in found)
        return int(bool(found))
    RESULTS.write_text(json.dumps(written | now, indent=1) + "\n")
    PAGE.write_text(with_table(PAGE.read_text(), written | now))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

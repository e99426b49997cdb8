"""The documents are true: commands run, links resolve, the reference matches the program."""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tradinghf.cli import _app as app

ROOT = Path(__file__).resolve().parents[2]
DOCS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BIN = Path(sys.executable).parent
FENCE = re.compile(
    r"(?:<!-- covered by: (?P<covered>[^>]+?) -->\n)?^```(?P<kind>\w+)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """One fenced block; `covered` names what else runs it, when no test here does."""

    kind: str
    text: str
    covered: str | None


def blocks(path: Path) -> list[Block]:
    found = FENCE.finditer(path.read_text())
    return [Block(m["kind"], m["text"], m["covered"]) for m in found]


def command_lines(block: Block) -> list[str]:
    """Commands of a shell block, without comments; a trailing backslash continues a line."""
    text = block.text.replace("\\\n", " ")
    lines = (line.split("  #")[0].strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


README = blocks(ROOT / "README.md")


def test_every_shell_block_is_run_here_or_says_what_runs_it() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for block in README:
        if block.covered is None:
            continue
        kind, _, name = block.covered.partition(" ")
        if kind == "make":
            assert re.search(rf"^{name}:", makefile, flags=re.MULTILINE), block.covered
        else:
            file, _, test = block.covered.partition("::")
            assert f"def {test}(" in (ROOT / "tests" / file).read_text(), block.covered


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all blocks of the README, in their order, as a reader would have it."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "strategies").symlink_to(ROOT / "strategies")
    return folder


def run(command: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.fixture(scope="module")
def followed(workplace: Path) -> Path:
    """The folder after running every block of the README that is not covered elsewhere."""
    for block in README:
        if block.covered is not None:
            continue
        if block.kind == "python":
            commands = [[sys.executable, "-c", block.text]]
        else:
            lines = command_lines(block) if block.kind == "bash" else []
            commands = [shlex.split(line) for line in lines]
        for command in commands:
            done = run(command, workplace)
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return workplace


@pytest.mark.slow
@pytest.mark.xdist_group("readme")
def test_readme_runs_from_top_to_bottom(followed: Path) -> None:
    assert (followed / "report.html").stat().st_size > 10_000
    reward = json.loads((followed / "runs/reward/reward.json").read_text())
    assert reward["values"]
    assert (followed / "runs/mine/policy.safetensors").is_file()
    assert "<html" in (followed / "runs/mine/report.html").read_text()[:200]


@pytest.mark.slow
@pytest.mark.xdist_group("readme")
def test_rlhf_writes_the_result_that_others_rely_on(followed: Path) -> None:
    result = json.loads((followed / "runs/first/result.json").read_text())
    names = {"S", "G", "rankings", "bits", "env_steps", "seconds"}
    names |= {f"utility_{name}" for name in ("policy", "random", "pnl", "true")}
    assert names <= set(result)
    assert result["rankings"] == 12
    assert result["env_steps"] >= 20_000
    assert result["bits"] == pytest.approx(12 * math.log2(math.factorial(5)), abs=0.1)
    gap = result["utility_true"] - result["utility_random"]
    gained = result["utility_policy"] - result["utility_random"]
    assert result["S"] == (pytest.approx(gained / gap) if gap > 1e-9 else None)


def anchors(text: str) -> set[str]:
    """GitHub's anchors of the headings in a Markdown text."""
    plain = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    heads = re.findall(r"^#+ (.+)$", plain, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).strip().replace(" ", "-") for h in heads}


@pytest.mark.parametrize("path", DOCS, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_resolve(path: Path) -> None:
    text = path.read_text()
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, anchor = target.partition("#")
        found = (path.parent / name).resolve() if name else path
        assert found.exists(), f"{path.name} links to {target}, which does not exist"
        if anchor and found.suffix == ".md":
            assert anchor in anchors(found.read_text()), f"{path.name}: no heading for {target}"


def test_commands_in_documents_exist() -> None:
    tree = app.commands()
    for path in DOCS:
        for block in blocks(path):
            for line in command_lines(block) if block.kind == "bash" else []:
                words = shlex.split(line)
                if words[0].endswith("tradinghf"):
                    assert app.resolve(tree, words[1:]) is not None, f"{path.name}: {line}"


def test_make_targets_in_documents_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    for path in DOCS:
        for name in re.findall(r"\bmake ([a-z]+)\b(?=[`\s]*(?:#|`|$))", path.read_text(), re.M):
            assert name in targets, f"{path.name}: make {name}"


def test_reference_lists_every_command_and_is_up_to_date() -> None:
    text = (ROOT / "docs" / "cli.md").read_text()
    for words, _ in app.command_paths(app.commands()):
        assert f"\n## tradinghf {' '.join(words)}\n" in text
    done = run([sys.executable, str(ROOT / "scripts" / "reference.py"), "--check"], ROOT)
    assert done.returncode == 0, done.stderr

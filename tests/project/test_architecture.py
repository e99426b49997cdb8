"""The rules of docs/architecture.md, checked on the source: who imports whom, what is banned."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import tradinghf

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "tradinghf"
BASE = {"config", "durable", "errors", "logs", "registry", "resources", "workers"}

# layer -> the layers it may import, beside itself and BASE
MAY_IMPORT: dict[str, set[str]] = {
    **{name: set() for name in BASE},
    "market": set(),
    "episodes": set(),
    "simulation": {"market"},
    "strategies": {"market"},
    "feedback": {"episodes"},
    "learning": {"market", "simulation", "episodes", "feedback"},
    "loop": {"market", "simulation", "episodes", "strategies", "feedback", "learning"},
    "evaluation": {"market", "simulation", "episodes", "strategies", "feedback", "learning"},
    "serving": {"market", "episodes", "feedback"},
    "bench": {
        "market",
        "simulation",
        "episodes",
        "strategies",
        "feedback",
        "learning",
        "loop",
        "evaluation",
    },
}
TOP = {"cli", "__init__", "__main__"}  # may import everything, nothing may import them
NO_TORCH = (
    "tradinghf.config",
    "tradinghf.errors",
    "tradinghf.registry",
    "tradinghf.resources",
    "tradinghf.episodes",
    "tradinghf.strategies",
    "tradinghf.market",
    "tradinghf.serving",
    "tradinghf.feedback",
    "tradinghf.cli",
)


def modules() -> list[tuple[str, Path]]:
    """(dotted name, file) of every module of the package."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = list(path.relative_to(ROOT).with_suffix("").parts)
        if parts[-1] == "__init__" and len(parts) > 2:
            parts.pop()
        found.append((".".join(parts), path))
    return found


def layer(module: str) -> str:
    """ "tradinghf.market.data" -> "market"; the package itself is "__init__"."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def imports(tree: ast.Module) -> Iterator[tuple[str, bool]]:
    """(module, at module level?) of each import; blocks under TYPE_CHECKING are left out."""

    def walk(node: ast.AST, top: bool) -> Iterator[tuple[str, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            if isinstance(child, ast.Import):
                yield from ((alias.name, top) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"relative import at line {child.lineno}"
                name = child.module or ""
                # `from tradinghf import market` imports the layer, not the package's root.
                yield from ((f"{name}.{alias.name}", top) for alias in child.names)
            nested = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            yield from walk(child, top and not nested)

    yield from walk(tree, True)


def broken_rules(module: str, source: str) -> list[str]:
    """Sentences about imports in `source` that its layer must not have."""
    own = layer(module)
    if own in TOP:
        return []
    if own not in MAY_IMPORT:
        return [f"{module}: layer {own!r} is not in docs/architecture.md's table"]
    problems = []
    for target, _ in imports(ast.parse(source)):
        if target.split(".")[0] != "tradinghf":
            continue
        to = layer(target)
        root = target in ("tradinghf", "tradinghf.__version__")  # for the version, in provenance
        if root or to == own or to in BASE | MAY_IMPORT[own]:
            continue
        problems.append(f"{module} imports {target}")
    return problems


def test_each_layer_imports_only_what_the_architecture_allows() -> None:
    problems = [p for name, path in modules() for p in broken_rules(name, path.read_text())]
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("tradinghf.market.data", "from tradinghf.simulation import env"),
        ("tradinghf.market.data", "def f():\n    import tradinghf.evaluation.backtest"),
        ("tradinghf.episodes", "from tradinghf import loop"),
        ("tradinghf.learning.ppo.trainer", "from tradinghf.cli import main"),
        ("tradinghf.somewhere", "x = 1"),
    ],
)
def test_the_import_rule_catches_planted_violations(module: str, source: str) -> None:
    assert broken_rules(module, source)


def test_modules_stay_small() -> None:
    sizes = {name: len(path.read_text().splitlines()) for name, path in modules()}
    assert not {name: size for name, size in sizes.items() if size > 400}


def test_import_of_the_package_and_of_its_light_modules_loads_no_torch(python) -> None:
    known = {name for name, _ in modules()}
    light = (n for n in known if n in NO_TORCH or n.startswith("tradinghf.feedback."))
    names = ["tradinghf", *sorted(light)]
    code = (
        "import importlib, sys\n"
        f"for name in {names!r}:\n"
        "    importlib.import_module(name)\n"
        "    heavy = {'torch', 'vectorbt', 'streamlit'} & set(sys.modules)\n"
        "    assert not heavy, f'{name} loads {heavy}'\n"
    )
    result = python("-c", code)
    assert result.returncode == 0, result.stderr


def test_import_of_the_package_loads_the_standard_library_only(python) -> None:
    code = (
        "import sys; before = set(sys.modules); import tradinghf\n"
        "new = {m.split('.')[0] for m in set(sys.modules) - before}\n"
        "print(sorted(new - set(sys.stdlib_module_names) - {'tradinghf'}))"
    )
    result = python("-c", code)
    assert result.stdout.strip() == "[]", result.stdout + result.stderr


def test_public_names_are_sorted_resolve_and_are_documented() -> None:
    names = list(tradinghf.__all__)
    assert names == sorted(names, key=lambda name: (not name.isupper(), name)), "as ruff sorts"
    assert set(names) == set(tradinghf._EXPORTS)
    guide = (ROOT / "docs" / "api.md").read_text()
    for name in names:
        assert (getattr(tradinghf, name).__doc__ or "").strip(), f"{name} has no docstring"
        assert f"\n## {name}\n" in guide, f"docs/api.md lacks {name}: run `make docs`"
    with pytest.raises(AttributeError, match="nonsense"):
        _ = tradinghf.nonsense


# Written in two halves, so that this file does not contain what it looks for.
BANNED_ANYWHERE = {
    "a path of one machine": "|".join(["/wo" + "rk/", "/ro" + "ot/", r"\.libra" + "ry/"]),
    "a package registry's host": "|".join(
        ["pypi" + r"\.org", "python" + r"hosted\.org", "download\\.py" + "torch", "registry\\.npm"]
    ),
}
BANNED_IN_CODE = {
    "unfinished work": r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b|NotImpl" + "ementedError",
    "code execution by deserialising": r"^\s*(import|from) pick" + r"le\b|torch\.lo" + r"ad\(",
    "a shell": "shell" + "=True",
    "raw HTML": "unsafe_allow" + "_html",
    "a blanket suppression": r"# type: ig" + r"nore(?!\[)|# no" + r"qa(?!: ?[A-Z])",
    "pickled arrays": "allow_pickle" + "=True",
}
FOLDERS = ("tradinghf", "strategies", "dashboard", "data", "tests", "scripts", "docs", "benchmarks")
TEXT = {".py", ".md", ".toml", ".txt", ".css", ".js", ".html", ".csv", ".json", ".ini", ".mako", ""}


def texts() -> Iterator[tuple[Path, str]]:
    """(path, text) of every text file that a release carries."""
    paths = [p for p in ROOT.iterdir() if p.is_file() and p.name not in {".coverage", ".git"}]
    for folder in FOLDERS:
        paths.extend(p for p in (ROOT / folder).rglob("*") if p.is_file())
    for path in sorted(paths):
        generated = {"__pycache__", "node_modules", "assets"} & set(path.parts)
        if path.suffix in TEXT and not generated:
            yield path, path.read_text(errors="replace")


def test_no_banned_words() -> None:
    found = []
    for path, text in texts():
        rules = {**BANNED_ANYWHERE, **(BANNED_IN_CODE if path.suffix == ".py" else {})}
        for what, pattern in rules.items():
            for match in re.finditer(pattern, text, flags=re.MULTILINE):
                line = text.count("\n", 0, match.start()) + 1
                found.append(f"{path.relative_to(ROOT)}:{line} {what}: {match.group()!r}")
    assert not found, "\n".join(found)

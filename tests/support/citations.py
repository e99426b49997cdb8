"""What comments, docstrings and pages cite: files, dotted names, and words in backticks."""

from __future__ import annotations

import ast
import io
import keyword
import re
import tokenize
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from support.source import ROOT, Module, defined, module_of, modules, parsed

FOLDERS = ("tradinghf", "strategies", "dashboard", "tests", "scripts", "benchmarks", "notebooks")
ROOMS = "market|simulation|feedback|learning|loop|evaluation|serving|bench|cli"
OWN = "tradinghf|strategies|dashboard|tests|scripts|benchmarks|docs|notebooks"
# From the checkout's root, or from a room's: market/_data.py.
PATHS = re.compile(
    rf"(?<![\w/.*{{}}<-])((?:{OWN}|{ROOMS})/[\w./-]*\w\.(?:py|md|json|sh|svg|ipynb))\b"
)
TESTS = re.compile(r"(?<![\w/.-])(test_\w+\.py)\b")
DOTTED = re.compile(r"(?<![\w/.@-])(tradinghf(?:\.[A-Za-z_]\w*)+)(?![\w/-])")
SHORT = re.compile(
    r"`((?:learning|loop|evaluation|serving|simulation|feedback|bench)(?:\.[a-z]\w*)+)"
)
NAMES = re.compile(r"`([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)(?:\(\w*\))?`")
NAMED = {"id", "attr", "name", "arg", "module", "asname"}  # fields of nodes
# Names in backticks that are other programs', or an ending of ours that stands for several.
FOREIGN = {
    "CombinatorialPurgedCV",
    "TORCH_INDEX_URL",
    "generic_fast_tanh_float",
    "model_selection",
    "pg_dump",
    "ppo_continuous_action",
    "probabilistic_sharpe_ratio",
    "py",
    "skfolio",
    "NAME_interval",
}


def prose(source: str, tree: ast.Module | None = None) -> str:
    """The comments and docstrings of a Python file."""
    tree = ast.parse(source) if tree is None else tree
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    parts = [ast.get_docstring(n) or "" for n in ast.walk(tree) if isinstance(n, kinds)]
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return "\n".join([*parts, *(t.string for t in tokens if t.type == tokenize.COMMENT)])


def wrong_files(text: str) -> list[str]:
    """Files that `text` cites and that do not exist."""
    homes = [ROOT, *(ROOT / name for name in ("tradinghf", "tests", "docs"))]
    cited = [path for path in PATHS.findall(text) if Path(path).stem != "NAME"]
    missing = [path for path in cited if not any((home / path).exists() for home in homes)]
    return missing + [name for name in TESTS.findall(text) if name not in test_files()]


@cache
def test_files() -> frozenset[str]:
    """Names of the files of tests."""
    return frozenset(path.name for path in (ROOT / "tests").rglob("test_*.py"))


def wrong_names(text: str) -> list[str]:
    """Dotted names of our modules that lead nowhere."""
    cited = {*DOTTED.findall(text), *(f"tradinghf.{name}" for name in SHORT.findall(text))}
    return sorted(name for name in cited if not resolves(name))


def resolves(name: str) -> bool:
    """Whether "tradinghf.market._data" is a module, or something that a module defines."""
    home = module_of(name, modules())
    rest = name.removeprefix(home or "").strip(".").split(".")
    return home is not None and (rest == [""] or rest[0] in contents(modules()[home]))


@cache
def contents(module: Module) -> set[str]:
    """Top-level names that a module defines, imports or exports."""
    tree = module.tree
    names = {name for name in defined(tree) if "." not in name}
    return names | {found.target.rpartition(".")[2] for found in module.imports}


@cache
def words() -> frozenset[str]:
    """Every word of the code itself: names and texts, but neither comments nor docstrings."""
    found: set[str] = set()
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            found |= code_words(parsed(path))
    for name in ("Makefile", "pyproject.toml", "mkdocs.yml", "requirements.lock"):
        found |= set(re.findall(r"\w+", (ROOT / name).read_text()))
    for path in (ROOT / "dashboard").rglob("*.js"):
        found |= set(re.findall(r"\w+", path.read_text()))
    return frozenset(found) | set(keyword.kwlist)


def code_words(tree: ast.Module) -> set[str]:
    """The words of one file."""
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    docs = {
        id(n.body[0].value)
        for n in ast.walk(tree)
        if isinstance(n, kinds) and n.body and isinstance(n.body[0], ast.Expr)
    }
    said: set[str] = set()
    for node in ast.walk(tree):
        said.update(getattr(node, name, None) or "" for name in NAMED & set(node._fields))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            said.add(node.value)
    return set(re.findall(r"\w+", "\n".join(said)))


def unknown_words(text: str) -> list[str]:
    """Names in backticks of which some part is nowhere in the code; `_AUTH` ends such a name."""
    named = {n for n in NAMES.findall(text) if not re.fullmatch("[0-9a-f]{12}", n)}
    parts = {n: set(n.split(".")) - words() - FOREIGN for n in named}
    ends = tuple({part for left in parts.values() for part in left if part[:1] == "_"})
    known = {e for e in ends for word in words() if word.endswith(e)}
    return sorted(n for n, left in parts.items() if left - known)


@cache
def texts() -> tuple[tuple[Path, str], ...]:
    """(path, what it says about the code) of every source file and page."""
    code = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md"))]
    return (
        *((path, prose(path.read_text(), parsed(path))) for path in code),
        *((path, path.read_text()) for path in pages),
    )


def problems(found: Iterable[tuple[Path, list[str]]]) -> str:
    """One line per file that cites what does not exist."""
    rows = ((path, wrong) for path, wrong in found if wrong)
    return "\n".join(f"{path.relative_to(ROOT)}: {', '.join(wrong)}" for path, wrong in rows)

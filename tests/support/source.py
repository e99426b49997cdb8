"""The modules of the package as text: what they import, define and measure."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "tradinghf"
Function = ast.FunctionDef | ast.AsyncFunctionDef


class Import(NamedTuple):
    """One imported name.

    Attributes:
        target: "package.module.name", or "package.module" of a plain import.
        top: whether it is imported when the module is; else by a function, when it runs.
        typing: whether only type checkers import it.

    """

    target: str
    top: bool = True
    typing: bool = False


@dataclass(frozen=True)
class Module:
    """One source file of the package.

    Attributes:
        name: dotted; a package's `__init__` has the package's name.
        path: the file.
        source: its text.

    """

    name: str
    path: Path
    source: str

    @cached_property
    def tree(self) -> ast.Module:
        """The parsed source."""
        return parsed(self.path) if self.path.is_file() else ast.parse(self.source)

    @cached_property
    def imports(self) -> tuple[Import, ...]:
        """Every import of the module."""
        return tuple(imports(self.tree))

    @property
    def is_package(self) -> bool:
        """Whether it is the `__init__` of a package."""
        return self.path.name == "__init__.py"

    @property
    def lines(self) -> int:
        """Length of the file."""
        return len(self.source.splitlines())


@cache
def parsed(path: Path) -> ast.Module:
    """The tree of a Python file, which all tests of a process share: none may change it."""
    return ast.parse(path.read_text())


@cache
def modules() -> Mapping[str, Module]:
    """Every module of the package, by its dotted name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = Module(name, path, path.read_text())
    return found


def imports(tree: ast.AST) -> Iterator[Import]:
    """Every import of a module, those inside functions and for type checkers included."""

    def walk(node: ast.AST, top: bool, typing: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from (Import(alias.name, top, typing) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"relative import at line {child.lineno}"
                for alias in child.names:
                    yield Import(f"{child.module}.{alias.name}", top, typing)
            hint = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
            inner = isinstance(child, Function | ast.Lambda)
            yield from walk(child, top and not inner, typing or hint)

    yield from walk(tree, True, False)


def module_of(target: str, known: Mapping[str, object]) -> str | None:
    """The module that "package.module.name" belongs to; None when the package has none such."""
    while target and target not in known:
        target = target.rpartition(".")[0]
    return target or None


def graph(imported: Mapping[str, Iterable[Import]]) -> dict[str, set[str]]:
    """Module -> the modules it imports, in any way but as a package's table of contents.

    The `__init__` of a package names its content for type checkers; that is no dependency.
    """
    packages = {name.rpartition(".")[0] for name in imported}
    found: dict[str, set[str]] = {}
    for name, own in imported.items():
        targets = {
            module_of(i.target, imported) for i in own if not (i.typing and name in packages)
        }
        found[name] = {t for t in targets if t is not None} - {name}
    return found


def circles(edges: Mapping[str, set[str]]) -> list[list[str]]:
    """Groups of modules each of which imports, directly or not, every other of its group."""
    reach = {name: reachable(name, edges) for name in edges}
    groups = {
        tuple(sorted(other for other in reach[name] if name in reach[other]))
        for name in edges
        if name in reach[name]
    }
    return [list(group) for group in sorted(groups)]


def reachable(start: str, edges: Mapping[str, set[str]]) -> set[str]:
    """What `start` imports, directly or not."""
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        fresh = edges.get(waiting.pop(), set()) - seen
        seen |= fresh
        waiting.extend(fresh)
    return seen


def functions(tree: ast.AST) -> Iterator[Function]:
    """Every function and method of a module."""
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def defined(tree: ast.Module) -> dict[str, ast.AST]:
    """Names that a module defines, those of classes as "Class.name"."""
    found: dict[str, ast.AST] = {}

    def add(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, Function | ast.ClassDef):
                found[prefix + node.name] = node
            if isinstance(node, ast.ClassDef):
                add(node.body, f"{prefix}{node.name}.")
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                for target in targets:
                    names = target.elts if isinstance(target, ast.Tuple) else [target]
                    found.update({prefix + n.id: node for n in names if isinstance(n, ast.Name)})
            elif isinstance(node, ast.If | ast.Try):
                add(node.body, prefix)

    add(tree.body, "")
    return found

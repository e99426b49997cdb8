"""The public surface: what each package's `__init__` lists, and what public modules define."""

from __future__ import annotations

import ast
import importlib
import json
import re
from collections.abc import Iterable, Iterator

import pytest
from support.source import ROOT, Import, Module, defined, imports, modules, parsed

MOST_NAMES = 485


def is_private(name: str) -> bool:
    """Whether a dotted name has a part that starts with an underscore."""
    return any(re.match(r"_(?!_)", part) for part in name.split("."))


def listed(module: Module) -> list[str]:
    """The package's `__all__`; empty where it has none."""
    node = defined(module.tree).get("__all__")
    return ast.literal_eval(node.value) if isinstance(node, ast.Assign) else []


def surface() -> dict[str, list[str]]:
    """Public package or module -> its public names."""
    return {
        name: listed(module)
        if module.is_package
        else [n for n in defined(module.tree) if "." not in n and not n.startswith("_")]
        for name, module in modules().items()
        if not is_private(name) and not name.startswith("tradinghf.feedback.store.migrations")
    }


def outsiders() -> Iterator[tuple[str, ast.Module]]:
    """Python that is not the package's own: (where, tree) of the pages, strategies and docs."""
    for folder in ("dashboard", "strategies"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield str(path.relative_to(ROOT)), parsed(path)
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        blocks = re.findall(r"```python\n(.*?)```", path.read_text(), re.DOTALL)
        yield from ((path.name, ast.parse(block)) for block in blocks)
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for cell in json.loads(path.read_text())["cells"]:
            if cell["cell_type"] == "code":
                code = re.sub(r"^[%!].*", "", "".join(cell["source"]), flags=re.M)
                yield path.name, ast.parse(code)


def private_imports(where: str, imported: Iterable[Import], own: str = "") -> list[str]:
    """Imports of what is private to a package other than `own`."""
    found = []
    for target in {i.target for i in imported}:
        package, _, rest = target.partition("._")
        if target.startswith("tradinghf.") and rest and f"{own}.".find(f"{package}.") != 0:
            found.append(f"{where} imports {target}")
    return found


@pytest.mark.parametrize("name", [n for n, m in modules().items() if m.is_package])
def test_each_package_lists_its_names_in_order_and_has_them(name: str) -> None:
    names = listed(modules()[name])
    assert names == sorted(names, key=lambda n: (not n.isupper(), not n[0].isupper(), n))
    package = importlib.import_module(name)
    assert all(hasattr(package, n) for n in names)


def test_the_surface_stays_small() -> None:
    names = [f"{place}.{name}" for place, own in surface().items() for name in own]
    assert len(names) < MOST_NAMES


def test_packages_import_each_others_public_names_alone() -> None:
    found = []
    for name, module in modules().items():
        if name != "tradinghf":
            own = name if module.is_package else name.rpartition(".")[0]
            found += private_imports(name, module.imports, own)
    assert not found, "\n".join(found)


def test_pages_strategies_docs_and_notebooks_need_public_names_alone() -> None:
    found = [p for where, tree in outsiders() for p in private_imports(where, imports(tree))]
    assert not found, "\n".join(found)


def test_an_import_of_what_is_private_is_found() -> None:
    code = [Import("tradinghf.market._data.MarketData")]
    assert private_imports("x", code) == ["x imports tradinghf.market._data.MarketData"]
    assert private_imports("x", code, "tradinghf.simulation")
    assert not private_imports("x", code, "tradinghf.market")
    assert not private_imports("x", [Import("tradinghf.market.MarketData")])

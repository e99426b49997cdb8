"""The rules of docs/architecture.md, checked on the source: imports, sizes, banned words."""

from __future__ import annotations

import ast
import re
import statistics
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
from support.source import ROOT, Import, Module, circles, functions, graph, imports, modules

import tradinghf

ALL = "all"
ROOTS = {"tradinghf", "tradinghf.__main__"}  # may import everything, nothing may import them
LONGEST_MODULE = 400
# module -> why it is one idea all the same
LONG: dict[str, str] = {}
# public class -> why it may be defined by more than one module
NAMESAKES: dict[str, str] = {}


class Room(NamedTuple):
    """One row of the architecture's table.

    Attributes:
        may_import: rooms, or packages of rooms.
        torch: modules that may load torch; ALL of them, or some.

    """

    may_import: frozenset[str]
    torch: frozenset[str]


@cache
def table() -> tuple[frozenset[str], dict[str, Room]]:
    """The rooms that everybody may import, and every room's rules, from the page."""
    page = (ROOT / "docs" / "architecture.md").read_text()
    rows = re.findall(r"^\| (`[^|]+) \|[^|]+\|([^|]+)\|([^|]+)\|$", page, flags=re.MULTILINE)
    rooms: dict[str, Room] = {}
    for names, may_import, torch in rows:
        allowed = {ALL} if may_import.strip() == ALL else set(_quoted(may_import))
        loads = {"yes": {ALL}, "no": set()}.get(torch.strip(), set(_quoted(torch)))
        rooms.update({n: Room(frozenset(allowed), frozenset(loads)) for n in _quoted(names)})
    return frozenset(_quoted(rows[0][0])), rooms


def _quoted(text: str) -> list[str]:
    return re.findall(r"`([\w.]+)`", text)


def room(target: str, rooms: Mapping[str, Room]) -> str | None:
    """The room that "tradinghf.market._data" lies in."""
    inside = target.removeprefix("tradinghf.")
    while inside and inside not in rooms:
        inside = inside.rpartition(".")[0]
    return inside or None


def within(inner: str, outer: str) -> bool:
    """Whether a room is, or belongs to, another or a package of rooms."""
    return inner == outer or inner.startswith(f"{outer}.")


def broken_rules(module: Module) -> list[str]:
    """Sentences about imports that the module's room must not have."""
    base, rooms = table()
    own = room(module.name, rooms)
    if own is None:
        contents = module.is_package and any(within(r, module.name[10:]) for r in rooms)
        if contents or module.name in ROOTS:
            return []  # a package of rooms: its table of contents
        return [f"{module.name} is in no room of docs/architecture.md's table"]
    if ALL in rooms[own].may_import:
        return []
    problems = []
    for target in {i.target for i in module.imports}:
        if not within(target, "tradinghf") or target == "tradinghf.__version__":
            continue
        to = room(target, rooms)
        allowed = to is not None and (
            to in base | {own} or any(within(to, name) for name in rooms[own].may_import)
        )
        if not allowed:
            problems.append(f"{module.name} imports {target}")
    return problems


def unused_arrows(found: Mapping[str, Module]) -> list[str]:
    """Arrows of the table that no import follows."""
    _, rooms = table()
    followed: dict[str | None, set[str]] = {}
    for module in found.values():
        targets = {i.target for i in module.imports if within(i.target, "tradinghf")}
        followed.setdefault(room(module.name, rooms), set()).update(
            to for target in targets if (to := room(target, rooms)) is not None
        )
    return [
        f"{name} -> {other}"
        for name, rules in rooms.items()
        for other in sorted(rules.may_import - {ALL})
        if not any(within(to, other) for to in followed.get(name, ()))
    ]


def planted(name: str, source: str) -> Module:
    return Module(name, Path("planted.py"), source)


def test_the_table_names_rooms_that_exist() -> None:
    base, rooms = table()
    assert {"config", "errors"} <= base
    for name, rules in rooms.items():
        assert f"tradinghf.{name}" in modules(), name
        for other in rules.may_import - {ALL}:
            assert any(within(r, other) for r in rooms), f"{name} may import {other}"


def test_each_room_imports_only_what_the_architecture_allows() -> None:
    problems = [p for module in modules().values() for p in broken_rules(module)]
    assert not problems, "\n".join(problems)


def test_the_table_has_no_arrow_that_nothing_follows() -> None:
    assert not unused_arrows(modules())
    lone = {"a": planted("tradinghf.simulation._env", "import tradinghf.config")}
    assert "simulation -> market" in unused_arrows(lone)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("tradinghf.market._data", "from tradinghf.simulation import env"),
        ("tradinghf.market._data", "def f():\n    import tradinghf.evaluation._backtest"),
        ("tradinghf.market._data", "from tradinghf import RLHF"),
        ("tradinghf.episodes", "from tradinghf import loop"),
        ("tradinghf.episodes", "if TYPE_CHECKING:\n    from tradinghf.loop._rlhf import RLHF"),
        ("tradinghf.learning.ppo.ppo", "from tradinghf.cli import main"),
        ("tradinghf.learning.policy._heads", "from tradinghf.learning.ppo.ppo import PPO"),
        ("tradinghf.learning.reward._model", "from tradinghf.learning import runs"),
        ("tradinghf.config", "from tradinghf.market._data import MarketData"),
        ("tradinghf.somewhere", "x = 1"),
    ],
)
def test_the_import_rule_catches_planted_violations(name: str, source: str) -> None:
    assert broken_rules(planted(name, source))


def imported(sources: Mapping[str, str]) -> dict[str, tuple[Import, ...]]:
    return {name: tuple(imports(ast.parse(source))) for name, source in sources.items()}


def test_no_module_imports_itself_around_a_circle() -> None:
    found = circles(graph({name: module.imports for name, module in modules().items()}))
    assert not found, "\n".join(" <-> ".join(group) for group in found)


@pytest.mark.parametrize(
    "sources",
    [
        {"p.a": "import p.b", "p.b": "from p import a"},
        {"p.a": "import p.b", "p.b": "def f():\n    from p.a import name"},
        {"p.a": "import p.b", "p.b": "if TYPE_CHECKING:\n    from p.a import name"},
        {"p.a": "import p.b", "p.b": "import p.c", "p.c": "class C:\n    import p.a"},
        {"p": "from p.a import f", "p.a": "import p.b", "p.b": "from p import f"},
    ],
)
def test_the_circle_rule_catches_planted_circles(sources: dict[str, str]) -> None:
    assert len(circles(graph(imported(sources)))) == 1


def test_the_circle_rule_lets_a_package_name_its_content_for_type_checkers() -> None:
    sources = {"p": "if TYPE_CHECKING:\n    from p.a import f", "p.a": "from p import __version__"}
    assert circles(graph(imported(sources))) == []
    chain = {"p.a": "import p.b, p.c", "p.b": "import p.c", "p.c": "import math"}
    assert circles(graph(imported(chain))) == []


def test_modules_and_functions_stay_small() -> None:
    found = modules().values()
    sizes = {m.name: m.lines for m in found if not m.is_package}
    assert {name for name, lines in sizes.items() if lines > LONGEST_MODULE} == set(LONG)
    assert 100 <= statistics.median(sizes.values()) <= 250
    lengths = sorted((f.end_lineno or 0) - f.lineno + 1 for m in found for f in functions(m.tree))
    assert lengths[9 * len(lengths) // 10] <= 30


def namesakes(found: Mapping[str, Module]) -> dict[str, list[str]]:
    """Public classes that several modules define -> these modules."""
    homes: dict[str, list[str]] = {}
    for name, module in found.items():
        for node in module.tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes.setdefault(node.name, []).append(name)
    return {name: places for name, places in homes.items() if len(places) > 1}


def test_no_two_modules_define_a_public_class_of_the_same_name() -> None:
    found = namesakes(modules())
    assert set(found) == set(NAMESAKES), found


def test_the_namesake_rule_catches_a_planted_pair() -> None:
    twice = {n: planted(n, "class Windows:\n    pass\nclass _Own:\n    pass") for n in "ab"}
    assert namesakes(twice) == {"Windows": ["a", "b"]}


def light_modules() -> list[str]:
    """Modules that must not load torch, by the table."""
    _, rooms = table()
    light = ["tradinghf"]
    for name in modules():
        own = room(name, rooms)
        if own is None or name.endswith("__main__") or "migrations" in name:
            continue
        heavy = rooms[own].torch
        if ALL not in heavy and name.rpartition(".")[2] not in heavy:
            light.append(name)
    return sorted(light, key=lambda name: ".serving" in name)  # which may load streamlit


def test_rooms_without_torch_load_none(python) -> None:
    code = (
        "import importlib, sys\n"
        f"for name in {light_modules()!r}:\n"
        "    importlib.import_module(name)\n"
        "    own = {'streamlit'} if '.serving.' in name else set()\n"
        "    heavy = {'torch', 'vectorbt', 'streamlit'} & set(sys.modules) - own\n"
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

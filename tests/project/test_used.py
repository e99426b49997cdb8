"""No code is there for the tests alone: what a module defines is used, or shown to readers."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache

from support.citations import code_words
from support.source import ROOT, Function, Module, defined, modules

# Who else calls a name that neither we nor the documents use.
FOREIGN = {
    "_repr_pretty_": "IPython, to show results",
    "close_extras": "Gymnasium, to close a vector environment",
    "_set_seed": "TorchRL, of an environment",
    "_to_string": "llvmlite, of a type",
    **dict.fromkeys(
        ("_on_rollout_end", "_on_step"), "Stable-Baselines3, of a callback"
    ),
    **dict.fromkeys(
        (
            "env_is_wrapped", "env_method", "get_attr", "get_images",
            "set_attr", "step_async", "step_wait",
        ),
        "Stable-Baselines3, of a VecEnv",
    ),
}  # fmt: skip
PLAIN = {"property", "classmethod", "staticmethod", "cache", "lru_cache", "cached_property"}
CALLERS = ("tradinghf", "strategies", "dashboard", "scripts", "benchmarks")


@cache
def documented() -> frozenset[str]:
    """Words of the documents and notebooks; the generated reference names everything."""
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("notebooks/*.ipynb")]
    texts = (page.read_text() for page in pages if page.name not in ("api.md", "CHANGELOG.md"))
    return frozenset(word for text in texts for word in re.findall(r"\w+", text))


@cache
def called() -> frozenset[str]:
    """Words of the program's code, without what is only the name of a definition or an import."""
    found: set[str] = set()
    for folder in CALLERS:
        for path in (ROOT / folder).rglob("*.py"):
            found |= mentioned(path.read_text())
    return frozenset(found)


def mentioned(source: str) -> set[str]:
    """Words of a file's code, without the names that it defines or imports."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, Function | ast.ClassDef):
            node.name = ""
        elif isinstance(node, ast.alias):
            node.name, node.asname = "", None
    return code_words(tree)


def unused(found: Mapping[str, Module]) -> Iterator[str]:
    """Functions, classes and methods that nothing calls and no page shows."""
    known = called() | documented() | FOREIGN.keys()
    for name, module in found.items():
        for place, node in defined(module.tree).items():
            short = place.rpartition(".")[2]
            if not isinstance(node, Function | ast.ClassDef) or short.startswith("__"):
                continue
            if short not in known and not registered(node) and "migrations" not in name:
                yield f"{name}.{place}"


def registered(node: ast.AST) -> bool:
    """Whether a decorator of ours hands a function to whoever calls it."""
    decorators = node.decorator_list if isinstance(node, Function) else []
    return any(ast.unparse(d).split("(")[0] not in PLAIN for d in decorators)


def test_nothing_is_there_for_the_tests_alone() -> None:
    assert not list(unused(modules()))


def test_a_planted_function_that_nothing_calls_is_found() -> None:
    name = "nobody_" + "calls_this"
    module = Module("tradinghf.planted", ROOT, f"def {name}():\n    return 1\n")
    assert list(unused({"tradinghf.planted": module})) == [f"tradinghf.planted.{name}"]

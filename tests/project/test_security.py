"""What no source file may do: run text as code, unpickle, start a shell, write half a file."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest
from support.source import ROOT, parsed

SOURCES = ("tradinghf", "dashboard", "strategies", "scripts", "benchmarks")

MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
BUILTINS = {"eval", "exec", "compile", "__import__"}
CALLS = {
    "os.system",
    "os.popen",
    "pty.spawn",
    "subprocess.getoutput",
    "subprocess.getstatusoutput",
    "tempfile.mktemp",
    "torch.load",
    "torch.save",
    "torch.hub.load",
    "torch.jit.load",
    "yaml.load",
    "yaml.load_all",
    "yaml.full_load",
    "yaml.unsafe_load",
    "pandas.read_pickle",
    "numpy.fromregex",
    "ssl._create_unverified_context",
    "random.seed",  # hidden state; generators are passed instead
    "numpy.random.seed",
}
CALL_PREFIXES = ("os.exec", "os.spawn")
METHODS = {"to_pickle", "read_pickle"}
# keyword -> the only value that it may have
KEYWORDS = {
    "shell": False,
    "allow_pickle": False,
    "weights_only": True,
    "verify": True,
    "unsafe_allow" + "_html": False,
    "unsafe_allow_javascript": False,
}
# Python files that the user names: strategies, a taste as FILE.py:function, FinRL's own to measure.
RUNS_FILES = {"tradinghf/registry.py", "benchmarks/finrl_peer.py"}

WRITES = {
    "write_text",
    "write_bytes",
    "to_parquet",
    "to_csv",
    "to_json",
    "to_feather",
    "to_excel",
    "to_hdf",
    "write_html",
    "write_image",
    "savez",
    "savez_compressed",
    "save_file",
    "savefig",
}
MAY_WRITE = {
    "tradinghf/durable.py": "is the helper",
    "tradinghf/evaluation/_export.py": "the page goes to a temporary folder, for the browser",
    "tradinghf/learning/runs/_checkpoints.py": "appends to metrics.jsonl and cuts it; a lock",
    "tradinghf/logs.py": "a lock",
    "tradinghf/serving/_access.py": "a draft, linked into place, so that the first server wins",
    "tradinghf/serving/_jobs.py": "a lock",
    "tradinghf/serving/_runner.py": "appends what a job prints",
}


def sources(*folders: str) -> Iterator[tuple[str, ast.Module]]:
    """(path from the root, tree) of every Python file."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), parsed(path)


def aliases(tree: ast.Module) -> dict[str, str]:
    """Local name -> dotted name of what it was imported as."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.partition(".")[0]
                found[alias.asname or first] = alias.name if alias.asname else first
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                found[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return found


def dotted(node: ast.expr, names: dict[str, str]) -> str:
    """ "numpy.load" of `np.load`; the attribute alone where the start is no import."""
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value, names)}.{node.attr}"
    return ""


def dangers(tree: ast.Module, path: str = "") -> list[str]:
    """Sentences about what must not be in a source file."""
    found: list[tuple[int, str]] = []
    names = aliases(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = getattr(node, "module", None)
            modules = [module] if module else [alias.name for alias in node.names]
            bad = {str(name).partition(".")[0] for name in modules} & MODULES
            found += [(node.lineno, f"imports {name}") for name in bad]
        elif isinstance(node, ast.Call):
            found += [(node.lineno, what) for what in _call(node, names, path)]
        elif isinstance(node, ast.Attribute) and dotted(node, names) in CALLS:
            found.append((node.lineno, f"names {dotted(node, names)}"))
    return [f"{path}:{line} {what}" for line, what in sorted(set(found))]


def _call(node: ast.Call, names: dict[str, str], path: str) -> Iterator[str]:
    name = dotted(node.func, names)
    method = name.rpartition(".")[2]
    if name in BUILTINS | CALLS or name.startswith(CALL_PREFIXES) or method in METHODS:
        yield f"calls {name}"
    if method == "eval" and "." in name and node.args:
        yield f"calls {name} with an expression"
    if method == "exec_module" and path not in RUNS_FILES:
        yield "runs another file as code"
    for keyword in node.keywords:
        if keyword.arg in KEYWORDS:
            value = keyword.value.value if isinstance(keyword.value, ast.Constant) else "?"
            if value is not KEYWORDS[keyword.arg]:
                yield f"passes {keyword.arg}={ast.unparse(keyword.value)}"


def half_writes(tree: ast.Module, path: str = "") -> list[str]:
    """Sentences about writes straight to a file's own name.

    A write is fine where it goes to the draft of a `with atomic_path(...) as draft` around it.
    """
    found = []

    def walk(node: ast.AST, drafts: frozenset[str]) -> None:
        if isinstance(node, ast.With):
            for item in node.items:
                call = item.context_expr
                if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "atomic_path":
                    assert isinstance(item.optional_vars, ast.Name)
                    drafts = drafts | {item.optional_vars.id}
                elif isinstance(item.optional_vars, ast.Name) and _writes(call, drafts) is False:
                    drafts = drafts | {item.optional_vars.id}  # the open draft
        if isinstance(node, ast.Call) and _writes(node, drafts):
            found.append(f"{path}:{node.lineno} writes in place: {ast.unparse(node)[:70]}")
        for child in ast.iter_child_nodes(node):
            walk(child, drafts)

    walk(tree, frozenset())
    return found


def _writes(node: ast.expr, drafts: frozenset[str]) -> bool | None:
    """True: in place; False: to a draft; None: it writes no file."""
    if not isinstance(node, ast.Call):
        return None
    target: ast.expr | None
    if isinstance(node.func, ast.Attribute) and node.func.attr in WRITES:
        receives = node.func.attr in ("write_text", "write_bytes")
        target = node.func.value if receives else next(iter(node.args), None)
    elif getattr(node.func, "id", getattr(node.func, "attr", "")) in ("open", "fdopen"):
        at = 0 if isinstance(node.func, ast.Attribute) and node.func.attr == "open" else 1
        modes = [*node.args[at : at + 1], *(k.value for k in node.keywords if k.arg == "mode")]
        if not any(isinstance(m, ast.Constant) and set("wax+") & set(str(m.value)) for m in modes):
            return None
        target = node.func.value if isinstance(node.func, ast.Attribute) else node.args[0]
    else:
        return None
    if target is None:
        return None  # to_csv() and its like return text
    return not (isinstance(target, ast.Name) and target.id in drafts)


def test_nothing_runs_text_unpickles_or_starts_a_shell() -> None:
    found = [text for path, tree in sources(*SOURCES) for text in dangers(tree, path)]
    assert not found, "\n".join(found)


def test_every_file_is_written_whole_or_not_at_all() -> None:
    written = {path: half_writes(tree, path) for path, tree in sources("tradinghf", "dashboard")}
    broken = {path: texts for path, texts in written.items() if texts and "/drill/" not in path}
    found = [text for path in sorted(set(broken) - set(MAY_WRITE)) for text in broken[path]]
    assert not found, "\n".join(found) + "\nUse tradinghf.durable."
    assert set(MAY_WRITE) - set(broken) <= {"tradinghf/durable.py"}, "an exception is not needed"


@pytest.mark.parametrize(
    "source",
    [
        "eval('1')",
        "exec(text)",
        "compile(text, 'x', 'exec')",
        "__import__(name)",
        "frame.eval('a + b')",
        "import " + "pickle",
        "from " + "pickle import loads",
        "import marshal",
        "import shelve as s",
        "import torch as t\nt." + "load(path)",
        "from torch import load\nload(path)",
        "import torch\nread = torch.jit.load",
        "import yaml\nyaml.load(text)",
        "import os\nos.system('ls')",
        "from os import popen\npopen('ls')",
        "import os\nos.execv(path, words)",
        "import subprocess\nsubprocess.run('ls', shell" + "=True)",
        "import subprocess\nsubprocess.run('ls', shell=flag)",
        "import tempfile\ntempfile.mktemp()",
        "import numpy as np\nnp.load(path, allow_pickle" + "=True)",
        "import streamlit as st\nst.markdown(text, unsafe_allow" + "_html=True)",
        "import pandas as pd\npd.read_pickle(path)",
        "spec.loader.exec_module(module)",
    ],
)
def test_the_rules_see_each_danger(source: str) -> None:
    assert dangers(ast.parse(source))


def test_the_rules_leave_innocent_code_alone() -> None:
    source = (
        "import re, torch, numpy as np\nfrom safetensors.torch import load\n"
        "re.compile('x'); network.eval(); load(data); np.load(path, allow_pickle=False)\n"
        "import subprocess\nsubprocess.run(['ls'], shell=False)"
    )
    assert not dangers(ast.parse(source))


@pytest.mark.parametrize(
    ("source", "bad"),
    [
        ("path.write_text(text)", True),
        ("(folder / 'x').write_bytes(data)", True),
        ("frame.to_parquet(path)", True),
        ("open(path, 'w')", True),
        ("path.open('ab')", True),
        ("path.open(mode='w')", True),
        ("path.open()", False),
        ("open(path, 'rb')", False),
        ("frame.to_csv()", False),
        ("with atomic_path(path) as draft:\n    frame.to_parquet(draft)", False),
        ("with atomic_path(path) as draft:\n    frame.to_parquet(path)", True),
        ("with atomic_path(path) as d, d.open('xb') as file:\n    np.savez(file, a=1)", False),
        ("with atomic_path(path) as draft:\n    pass\ndraft.write_text('')", True),
    ],
)
def test_the_rule_of_whole_files_sees_what_it_should(source: str, bad: bool) -> None:
    assert bool(half_writes(ast.parse(source))) is bad

"""The component's own code, run by Node."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

NODE = shutil.which("node")
TESTS = Path(__file__).parent / "component"


@pytest.mark.skipif(NODE is None, reason="NO NODE: the component's code is not tested")
@pytest.mark.parametrize("file", sorted(TESTS.glob("*.test.mjs")), ids=lambda path: path.stem)
def test_component(file: Path) -> None:
    assert NODE is not None
    done = subprocess.run(
        [NODE, "--test", str(file)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "# pass 0" not in done.stdout

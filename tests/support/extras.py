"""Tests that need optional packages: skipped without them, unless every one has to be there.

`@pytest.mark.extra("ray")` says what a test needs. `make test-extras` runs those tests in an
environment that has everything, where a skip is a failure: what is promised is tried somewhere.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Generator

import pytest

EVERY = "TRADINGHF_TEST_EVERY_EXTRA"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose packages are not installed."""
    wanted = [name for mark in item.iter_markers("extra") for name in mark.args]
    missing = [name for name in wanted if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed; make test-extras has it")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where every extra has to be there, a test that was skipped has failed."""
    report = yield
    excused = item.get_closest_marker("gpu") is not None or hasattr(report, "wasxfail")
    if os.environ.get(EVERY) and report.skipped and not excused:
        report.outcome = "failed"
        report.longrepr = f"skipped where nothing may be: {report.longrepr}"
    return report

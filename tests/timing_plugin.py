"""Pytest plugin that records the time of each test file and of each slow fixture.

A run with `TIMINGS=<part>` in the environment writes `.timings/<part>.json`, which `make timings` prints.
"""

from __future__ import annotations

import json
import os
import resource
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

DIRECTORY = Path(__file__).resolve().parents[1] / ".timings"
SLOW_FIXTURE = 1.0
"""Seconds. Fixtures with a faster setup are not recorded."""

STARTED = pytest.StashKey[tuple[float, float]]()


def used() -> tuple[float, float]:
    """Return the processor seconds of this process and its ended children, and the clock time in seconds."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages), time.monotonic()


class Timings:
    """Plugin object in every pytest-xdist process. Test reports carry the times to the main process."""

    def __init__(self, part: str) -> None:
        self._part = part
        self._files: dict[str, list[float]] = {}
        self._fixtures: dict[str, list[float]] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        item.stash[STARTED] = used()
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any], request: Any) -> Generator[None, object, object]:
        started = used()
        result = yield
        cpu, wall = (now - then for now, then in zip(used(), started, strict=True))
        if wall > SLOW_FIXTURE:
            request._pyfuncitem.user_properties.append(("fixture", [fixturedef.argname, cpu, wall]))
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        if call.when == "teardown":
            started: tuple[float, float] = item.stash[STARTED]
            spent = [now - then for now, then in zip(used(), started, strict=True)]
            item.user_properties.append(("spent", spent))
        return (yield)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "teardown":
            properties: list[tuple[str, Any]] = report.user_properties
            for name, value in properties:
                if name == "spent":
                    add(self._files, report.nodeid.partition("::")[0], value)
                elif name == "fixture":
                    add(self._fixtures, value[0], value[1:])

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if not hasattr(session.config, "workerinput"):
            DIRECTORY.mkdir(exist_ok=True)
            figures = {"files": self._files, "fixtures": self._fixtures}
            (DIRECTORY / f"{self._part}.json").write_text(json.dumps(figures), "utf-8")


def add(figures: dict[str, list[float]], name: str, spent: Any) -> None:
    """Add 1 to the count of a name, and add its processor and elapsed seconds."""
    figures[name] = [a + b for a, b in zip(figures.get(name, [0, 0, 0]), [1, *spent], strict=True)]


def pytest_configure(config: pytest.Config) -> None:
    if part := os.environ.get("TIMINGS"):
        config.pluginmanager.register(Timings(part))

"""From a fresh render to its first answer and to a passing suite, as its owner's first minutes go."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from harness import free_port, run, serving
from report import Table
from subjects import ROOT, Workshop, peer_settings

SECTION = "fresh clone"
CACHES = ("cold", "warm")
RESULTS = "results.xml"


@dataclass(frozen=True)
class Steps:
    """Seconds of each step."""

    install: float
    answer: float
    suite: float
    tests: int


def measure(workshop: Workshop, table: Table, url: str) -> None:
    """Seconds to the first answer from the database and to a passing suite, with uv and with pip.

    Cold is with empty caches of pip and uv, warm is the same again. The peer has uv alone; what pip itself needs for
    our packages is beside ours.

    Args:
        url: a PostgreSQL for the peer, which brings none; ours starts on SQLite, and its suite a server of its own.
    """
    projects: dict[str, Callable[[dict[str, str]], Steps]] = {
        "ours": lambda caches: first_steps(workshop, "uv", caches),
        "peer": lambda caches: first_steps_of_peer(workshop, url, caches),
        "ours, pip": lambda caches: first_steps(workshop, "pip-tools", caches),
    }
    shutil.rmtree(workshop.directory / "caches", ignore_errors=True)
    for cache in CACHES:
        for name, work in projects.items():
            steps = work(caches_of(workshop, name))
            table.row(SECTION, f"install, {cache}", "s").add(name, steps.install)
            table.row(SECTION, f"first answer, {cache}", "s").add(name, steps.install + steps.answer)
            table.row(SECTION, f"passing suite, {cache}", "s").add(name, steps.install + steps.suite)
            table.row(SECTION, f"tests in the suite, {cache}", "", "more").add(name, steps.tests)
            table.row(SECTION, f"a test, {cache}", "ms").add(name, steps.suite / steps.tests * 1000)
        table.row(SECTION, f"install, {cache}", "s").add("pip alone", pip_alone(workshop))


def caches_of(workshop: Workshop, name: str) -> dict[str, str]:
    directory = workshop.directory / "caches" / name
    return {
        "PIP_CACHE_DIR": str(directory / "pip"),
        "UV_CACHE_DIR": str(directory / "uv"),
        "UV_PYTHON": str(workshop.python),
        "UV_PYTHON_DOWNLOADS": "never",
        "PATH": f"{ROOT / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}",
    }


def first_steps(workshop: Workshop, tool: str, variables: dict[str, str]) -> Steps:
    """Of a new render, with its own commands."""
    project = workshop.directory / "first-steps"
    shutil.rmtree(project, ignore_errors=True)
    workshop.render(project.name, dependency_tool=tool)
    make = ("make", f"PYTHON={workshop.python}")
    install, serve, test = [*make, ".venv/.installed"], [*make, "dev"], [*make, "test", f"args=--junitxml={RESULTS}"]
    installed = run(install, project, **variables).wall
    answered = first_answer(serve, project, "/api/v1/items", variables, "PORT")
    return Steps(installed, answered, run(test, project, **variables).wall, count_tests(project))


def first_steps_of_peer(workshop: Workshop, url: str, variables: dict[str, str]) -> Steps:
    """Of a new project of the peer, with the commands of its README; it serves with reload, as ours does."""
    shutil.rmtree(workshop.directory / "peer", ignore_errors=True)
    project = workshop.generate_peer()
    settings = variables | peer_settings(url) | {"PEER_SERVICE_RELOAD": "True"}
    uv = ("uv", "run")
    serve, test = [*uv, "-m", "peer_service"], [*uv, "pytest", "-vv", ".", f"--junitxml={RESULTS}"]
    installed = run(["uv", "sync"], project, **settings).wall
    migrated = run([*uv, "alembic", "upgrade", "head"], project, **settings).wall
    answered = migrated + first_answer(serve, project, "/api/dummy/", settings, "PEER_SERVICE_PORT")
    return Steps(installed, answered, run(test, project, **settings).wall, count_tests(project))


def first_answer(serve: list[str], project: Path, path: str, variables: dict[str, str], port_variable: str) -> float:
    """Seconds from the start of a server to its first answer from the database."""
    port = free_port()
    with serving(serve, project, port, path, {**variables, port_variable: str(port)}) as server:
        return server.start.wall


def count_tests(project: Path) -> int:
    """How many tests a suite has passed, which wrote its results."""
    return sum(int(suite.attrib["tests"]) for suite in ElementTree.parse(project / RESULTS).iter("testsuite"))


def pip_alone(workshop: Workshop) -> float:
    """Seconds that pip takes for a new environment with the packages of our lock in it."""
    environment = workshop.directory / "pip-alone"
    shutil.rmtree(environment, ignore_errors=True)
    lock = workshop.directory / "first-steps" / "requirements-dev.txt"
    pip = (environment / "bin" / "python", "-m", "pip")
    made = run([workshop.python, "-m", "venv", environment], workshop.directory)
    install = (*pip, "install", "--quiet", "--require-hashes", "--no-deps", "-r", lock)
    return made.wall + run(install, workshop.directory, **caches_of(workshop, "pip alone")).wall

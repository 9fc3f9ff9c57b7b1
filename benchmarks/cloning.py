"""From a fresh render to its first healthy answer and to a passing suite, as its owner's first minutes go."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness import free_port, run, serving
from report import Table
from subjects import ROOT, Workshop, peer_settings

SECTION = "fresh clone"
CACHES = ("cold", "warm")


@dataclass(frozen=True)
class Steps:
    """Seconds of each step."""

    install: float
    answer: float
    suite: float


def measure(workshop: Workshop, table: Table, url: str) -> None:
    """Seconds to the first healthy answer and to a passing suite, of both dependency tools and of the peer.

    Cold is with empty caches of pip and uv, warm is the same again.

    Args:
        url: a PostgreSQL for the peer, which brings none; ours starts on SQLite, and its suite a server of its own.
    """
    projects: dict[str, Callable[[dict[str, str]], Steps]] = {
        "ours": lambda caches: first_steps(workshop, "pip-tools", caches),
        "ours, uv": lambda caches: first_steps(workshop, "uv", caches),
        "peer": lambda caches: first_steps_of_peer(workshop, url, caches),
    }
    shutil.rmtree(workshop.directory / "caches", ignore_errors=True)
    for cache in CACHES:
        for name, work in projects.items():
            steps = work(caches_of(workshop, name))
            table.row(SECTION, f"first answer, {cache}", "s").add(name, steps.install + steps.answer)
            table.row(SECTION, f"passing suite, {cache}", "s").add(name, steps.install + steps.suite)


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
    return take([*make, ".venv/.installed"], [*make, "dev"], "/health", [*make, "test"], project, variables, "PORT")


def first_steps_of_peer(workshop: Workshop, url: str, variables: dict[str, str]) -> Steps:
    """Of a new project of the peer, with the commands of its README; its migrations are left out of the time."""
    project = workshop.generate_peer()
    shutil.rmtree(project / ".venv", ignore_errors=True)
    serve = ["uv", "run", "-m", "peer_service"]
    test = ["uv", "run", "pytest", "-q"]
    settings = variables | peer_settings(url)
    return take(["uv", "sync"], serve, "/api/health", test, project, settings, "PEER_SERVICE_PORT")


def take(
    install: list[str],
    serve: list[str],
    health: str,
    test: list[str],
    project: Path,
    variables: dict[str, str],
    port_variable: str,
) -> Steps:
    """Install, serve until the first healthy answer, and test."""
    installed = run(install, project, **variables).wall
    port = free_port()
    with serving(serve, project, port, health, {**variables, port_variable: str(port)}) as server:
        answered = server.start.wall
    time.sleep(0.5)
    return Steps(installed, answered, run(test, project, **variables).wall)

"""Fixtures and helpers for tests that break a running service: its server, its network, its process."""

from __future__ import annotations

import os
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import httpx2
import pytest
from sqlalchemy import make_url

from answers import CORNERS
from conftest import Environment, EnvironmentOf, Render, skip_outside_ci
from processes import Service
from proxy import Proxy

ROUTES = """
from fastapi import APIRouter, Request
from sqlalchemy import text

from ...models import Item
from ..dependencies import SessionDep

router = APIRouter()


@router.get("/sleep/{seconds}")
async def sleep(seconds: float, session: SessionDep) -> int:
    await session.execute(text("SELECT pg_sleep(:seconds)"), {"seconds": seconds})
    return 1


@router.post("/write-and-fail")
async def write_and_fail(session: SessionDep) -> None:
    session.add(Item(name="never"))
    await session.flush()
    raise RuntimeError


@router.post("/write-and-sleep")
async def write_and_sleep(session: SessionDep) -> None:
    session.add(Item(name="late"))
    await session.flush()
    await session.execute(text("SELECT pg_sleep(1)"))


@router.post("/run")
async def run(statements: list[str], session: SessionDep) -> None:
    for statement in statements:
        await session.execute(text(statement))


@router.get("/pool")
async def pool(request: Request) -> dict[str, int]:
    status = request.app.state.database.pool_status()
    return {"in_use": status.in_use, "idle": status.idle}
"""


@pytest.fixture
def service(project: Render) -> Path:
    """Return a render with the example and with extra routes that sleep, fail, or report the pool."""
    service = project(**CORNERS["namespaced-example"])
    routes = service / "src" / "my_service" / "api" / "routes"
    (routes / "faults.py").write_text(ROUTES)
    return service


@pytest.fixture
def python(service: Path, environment: EnvironmentOf) -> Environment:
    return environment(service)


@pytest.fixture
def server(postgres_module: ModuleType) -> Iterator[Any]:
    """Start a PostgreSQL server for one test, which may stop and start it."""
    with postgres_module.PostgresServer() as server:
        yield server


SLACK = 0.4
"""Seconds added to the limit of 0.1 s, because the test machine may be busy."""

HEALTHY, DOWN = (200, 200, 200), (200, 503, 503)


def health(running: Service) -> tuple[int, int, int]:
    """Return the status codes of the three health endpoints.

    Each response must arrive in time and must not show the address or the error of the database.
    """
    statuses = []
    for path in ("/health", "/health/db", "/health/ready"):
        started = time.perf_counter()
        response = running.get(path)
        elapsed = time.perf_counter() - started
        assert elapsed < 0.1 + SLACK, f"{path} took {elapsed * 1000:.0f} ms."
        assert not re.search(r"127\.0\.0\.1|postgres|refused|Error", response.text), response.text
        statuses.append(response.status_code)
    return statuses[0], statuses[1], statuses[2]


def migrate(service: Path, python: Environment, url: str, **variables: str) -> None:
    python.run(service, "alembic", "upgrade", "head", DATABASE_URL=url, **variables)


def through(port: int, server: Any) -> str:
    return str(server.url).replace(f":{server.port}/", f":{port}/")


def as_root(*command: str | Path) -> None:
    if os.geteuid():
        command = ("sudo", "-n", *command)
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        skip_outside_ci(f"cannot mount file systems: {finished.stderr}")


@contextmanager
def mounted(directory: Path, *options: str) -> Iterator[None]:
    directory.mkdir(exist_ok=True)
    as_root("mount", *options, directory)
    try:
        yield
    finally:
        as_root("umount", "--lazy", directory)


@contextmanager
def proxied(url: str) -> Iterator[tuple[Proxy, str]]:
    """Yield a proxy in front of a database server, and the URL of the database through the proxy."""
    parsed = make_url(url)
    with Proxy(parsed.port or 0) as proxy:
        yield proxy, parsed.set(port=proxy.port).render_as_string(hide_password=False)


class Clients:
    """Clients that keep their connections and send requests until the end of the block.

    A client ends after a response with `Connection: close`, because the next request belongs to another process.

    Args:
        ask: sends one request.
        number: the number of clients.
        pause: seconds between two requests of a client.
    """

    def __init__(
        self, url: str, ask: Callable[[httpx2.Client], httpx2.Response], number: int, pause: float = 0.02
    ) -> None:
        self.answers: list[tuple[float, int | str]] = []
        """For each request: the time of its end, and the status or the name of the error."""
        self.closed = 0
        """The number of clients that have ended."""
        self._url = url
        self._ask = ask
        self._pause = pause
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(number)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def count(self, status: int | str | None = None) -> int:
        return sum(status in (None, given) for _, given in self.answers)

    def statuses(self, since: float = 0) -> set[int | str]:
        return {status for ended, status in self.answers if ended >= since}

    def _run(self) -> None:
        with httpx2.Client(base_url=self._url, timeout=60) as client:
            while not self._stop.wait(self._pause):
                try:
                    response = self._ask(client)
                except httpx2.TransportError as error:
                    self.answers.append((time.monotonic(), type(error).__name__))
                    continue
                self.answers.append((time.monotonic(), response.status_code))
                if response.headers.get("connection") == "close":
                    self.closed += 1
                    return

"""Check the health of the real service far away from its database, and while the database fails."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from conftest import Environment, query
from faulty_service import DOWN, HEALTHY, SLACK, Clients, health, migrate, proxied, through
from processes import Service, serving, wait_until
from proxy import Proxy

pytestmark = [pytest.mark.slow, pytest.mark.faults]

LIMIT = 2.0
"""Seconds until readiness notices that the database fails, or works again. A busy machine gets `BUSY` more."""

BUSY = 1.0


def readiness(running: Service) -> int:
    """Return the status. It must arrive in time, even if the database does not answer."""
    started = time.perf_counter()
    status = running.get("/health/ready").status_code
    assert time.perf_counter() - started < 0.1 + SLACK
    return status


def watch(running: Service, seconds: float) -> set[int]:
    """Return all statuses of readiness in these seconds."""
    deadline = time.monotonic() + seconds
    statuses = set()
    while time.monotonic() < deadline:
        statuses.add(readiness(running))
        time.sleep(0.02)
    return statuses


def wait_for(running: Service, statuses: tuple[int, int, int], seconds: float) -> None:
    wait_until(lambda: health(running) == statuses, seconds + BUSY, f"Health is not {statuses} after {seconds} s.")


def list_items(client: httpx2.Client) -> httpx2.Response:
    return client.get("/api/v1/items")


@pytest.mark.parametrize("milliseconds", [20, 200, 300])
def test_distant_service_starts_and_is_ready_while_it_answers(
    service: Path, python: Environment, database: str, milliseconds: int
) -> None:
    migrate(service, python, database)
    with proxied(database) as (proxy, url):
        proxy.round_trip = milliseconds / 1000
        with serving(service, python, url) as running, Clients(running.url, list_items, 16, pause=0.1) as clients:
            assert watch(running, 4) == {200}
        assert clients.statuses() == {200}


def signal_server(server: Any, number: int) -> None:
    """Send a signal to all processes of the server."""
    main = server._process.pid
    children = Path(f"/proc/{main}/task/{main}/children").read_text().split()
    for each in (main, *map(int, children)):
        os.kill(each, number)


def set_read_only(server: Any, value: str) -> None:
    query(server.url, f"ALTER SYSTEM SET default_transaction_read_only = {value}")
    query(server.url, "SELECT pg_reload_conf()")


def test_health_notices_every_failure_and_its_end(service: Path, python: Environment, server: Any) -> None:
    migrate(service, python, server.url)
    with Proxy(server.port) as proxy, serving(service, python, through(proxy.port, server)) as running:
        faults: dict[str, tuple[Callable[[], None], Callable[[], None]]] = {
            "stop": (server.stop, server.start),
            "freeze": (lambda: signal_server(server, signal.SIGSTOP), lambda: signal_server(server, signal.SIGCONT)),
            "black hole": (proxy.silence, proxy.speak),
            "read-only": (lambda: set_read_only(server, "on"), lambda: set_read_only(server, "off")),
        }
        for round_trip, names in {0.0: list(faults), 0.3: ["stop", "black hole"]}.items():
            proxy.round_trip = round_trip
            for name in names:
                print(name, round_trip)
                fail, repair = faults[name]
                wait_for(running, HEALTHY, LIMIT)
                fail()
                wait_for(running, DOWN, LIMIT + round_trip)
                if name == "read-only":
                    response = running.client.post("/api/v1/items", json={"name": "Teapot"})
                    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
                    assert running.get("/api/v1/items").status_code == 200
                repair()
                wait_for(running, HEALTHY, LIMIT + 10 * round_trip)
                assert running.get("/api/v1/items").status_code == 200
        assert "Traceback" not in running.output()


def test_service_does_not_ask_a_database_that_may_sleep(service: Path, python: Environment, database: str) -> None:
    with proxied(database) as (proxy, url), serving(service, python, url, HEALTH_CHECK_INTERVAL="0") as running:
        assert running.get("/health/ready").status_code == 503
        migrate(service, python, database)
        wait_for(running, HEALTHY, LIMIT)
        proxy.silence()
        deadline = time.monotonic() + LIMIT + BUSY
        while time.monotonic() < deadline:
            assert health(running) == HEALTHY
            time.sleep(0.1)

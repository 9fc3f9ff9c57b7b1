"""Send signals to the real service: while it starts, while it is idle or busy, and with a database that is silent."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryFile

import httpx2
import pytest

from conftest import Environment, query
from faulty_service import Clients, migrate, proxied
from processes import Service, free_port, serving, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.faults]

LIMIT = 5.0
"""Seconds from the last request until the process has ended."""


def assert_ended(running: Service, since: float) -> None:
    """Check that the process ends in time, with status 0 and without a traceback."""
    assert running.process.wait(max(0, since + LIMIT - time.monotonic())) == 0
    assert "Traceback" not in running.output()


@pytest.mark.parametrize("requests_fail_first", [True, False], ids=["after-the-requests", "with-requests-in-flight"])
def test_service_stops_in_time_with_a_silent_database(
    service: Path, python: Environment, database: str, requests_fail_first: bool
) -> None:
    migrate(service, python, database)
    limits = {"DATABASE_COMMAND_TIMEOUT": "1", "DATABASE_CONNECT_TIMEOUT": "1"} if requests_fail_first else {}
    with (
        proxied(database) as (proxy, url),
        serving(service, python, url, SHUTDOWN_TIMEOUT="1", **limits) as running,
        ThreadPoolExecutor(4) as executor,
    ):

        def ask(_: object = None) -> httpx2.Response:
            return httpx2.get(f"{running.url}/api/v1/items", timeout=30)

        assert {response.status_code for response in executor.map(ask, range(8))} == {200}
        proxy.silence()
        asked = [executor.submit(ask) for _ in range(4)]
        if requests_fail_first:
            assert {future.result().status_code for future in asked} == {503}
        else:
            wait_until(lambda: running.get("/health/db").json()["pool"]["in_use"] == 4)
        running.process.send_signal(signal.SIGTERM)
        assert {future.result().status_code for future in asked} == {503}
        assert {future.result().headers["content-type"] for future in asked} == {"application/problem+json"}
        assert_ended(running, time.monotonic())


@pytest.mark.parametrize("silent", [True, False], ids=["silent", "refusing"])
def test_service_that_waits_for_its_database_stops_in_time(
    service: Path, python: Environment, database: str, silent: bool
) -> None:
    with proxied(database) as (proxy, url), TemporaryFile("w+") as log:
        proxy.silence()
        if not silent:
            url = url.replace(f":{proxy.port}/", f":{free_port()}/")
        variables = python.variables(service, DATABASE_URL=url, PORT=str(free_port()))
        command = (python.python, "-m", "my_service")
        process = subprocess.Popen(command, cwd=service, env=variables, stdout=log, stderr=subprocess.STDOUT)

        def output() -> str:
            log.seek(0)
            return log.read()

        try:
            wait_until(lambda: bool(proxy.ends) if silent else "database_not_ready" in output())
            process.send_signal(signal.SIGTERM)
            assert process.wait(LIMIT) == 0
            assert "Traceback" not in output()
            assert "lifespan" not in output()
        finally:
            process.kill()
            process.wait()


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_draining_service_answers_every_request_and_closes_its_connection(
    service: Path, python: Environment, database: str, name: str
) -> None:
    migrate(service, python, database)
    with serving(service, python, database, SHUTDOWN_DELAY="1") as running:

        def create(client: httpx2.Client) -> httpx2.Response:
            return client.post("/api/v1/items", json={"name": f"{time.monotonic_ns()}"})

        with Clients(running.url, create, 8) as clients:
            wait_until(lambda: clients.count() > 50)
            running.process.send_signal(getattr(signal, name))
            assert running.process.wait(20) == 0
        assert clients.closed == 8
        assert clients.statuses() == {201}
        assert query(database, "SELECT count(*) FROM orders.item") == [(clients.count(),)]


def test_stop_without_a_delay_answers_requests_of_clients_that_connect_again(
    service: Path, python: Environment, database: str
) -> None:
    migrate(service, python, database)

    def create(client: httpx2.Client) -> httpx2.Response:
        response = client.post("/api/v1/items", json={"name": f"{time.monotonic_ns()}"})
        response.headers.pop("connection", None)  # The client continues with a new connection.
        return response

    with serving(service, python, database) as running, Clients(running.url, create, 8, pause=0) as clients:
        wait_until(lambda: clients.count() > 50)
        running.process.terminate()
        assert running.process.wait(20) == 0
    assert clients.statuses() == {201, "ConnectError"}
    assert query(database, "SELECT count(*) FROM orders.item") == [(clients.count(201),)]


def test_second_signal_answers_requests_in_flight_with_a_problem_document(
    service: Path, python: Environment, database: str
) -> None:
    with serving(service, python, database) as running, ThreadPoolExecutor(1) as executor:
        asked = executor.submit(httpx2.get, f"{running.url}/api/v1/sleep/20", timeout=30)
        wait_until(lambda: running.get("/api/v1/pool").json()["in_use"] == 1)
        running.process.send_signal(signal.SIGTERM)
        wait_until(lambda: "Waiting for connections to close" in running.output())
        running.process.send_signal(signal.SIGTERM)
        response = asked.result()
        assert_ended(running, time.monotonic())
        assert (response.status_code, response.headers["content-type"]) == (503, "application/problem+json")
        assert "lifespan" not in running.output()


def test_idle_connections_stay_open_for_the_keep_alive_timeout(
    service: Path, python: Environment, database: str
) -> None:
    with serving(service, python, database, KEEP_ALIVE_TIMEOUT="2") as running:
        address = httpx2.URL(running.url)
        with socket.create_connection((address.host, address.port or 80)) as client:
            client.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.recv(1) == b"H"
            answered = time.monotonic()
            client.settimeout(4)  # uvicorn's default is 5.
            while client.recv(65536):
                pass
            assert time.monotonic() - answered > 1.5

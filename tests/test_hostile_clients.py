"""Attack the real service with clients that send or read too much, too slowly, or nothing."""

from __future__ import annotations

import json
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest

from answers import CORNERS
from conftest import Environment, EnvironmentOf, Render
from processes import Service, free_port, is_served, started, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.faults]

RUNNER = """
import asyncio
from collections.abc import AsyncIterator

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse

from my_service import http_protocol
from my_service.__main__ import Server
from my_service.config import get_settings
from my_service.main import create_app

http_protocol.HEAD_TIMEOUT = http_protocol.SEND_TIMEOUT = 1
settings = get_settings()
app = create_app(settings)
files = APIRouter(prefix="/files")


async def pieces(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // 10_000):
        yield b"x" * 10_000


@app.get("/stream/{size}")
async def stream(size: int) -> StreamingResponse:
    return StreamingResponse(pieces(size))


@app.get("/whole/{size}")
async def whole(size: int) -> Response:
    return Response(b"x" * size, headers={"Connection": "close"})


@app.post("/size")
async def read(request: Request) -> int:
    return len(await request.body())


@app.get("/wait/{seconds}")
async def wait(seconds: float) -> None:
    await asyncio.sleep(seconds)


@files.get("/{name:path}")
async def file(name: str) -> str:
    return name


app.include_router(files, prefix="/shared")
Server(app, settings).run()
"""
SLOTS = 5
"""MAX_CONCURRENT_REQUESTS of the attacked service."""

IN_TIME = 5.0
"""Seconds until a service whose timeouts are 1 s must have closed a connection or freed a slot."""


@pytest.fixture(scope="module")
def service(render: Render, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("hostile") / "project"
    shutil.copytree(render(**CORNERS["sqlite-bare"]), directory)
    (directory / "attacked.py").write_text(RUNNER)
    return directory


@pytest.fixture(scope="module")
def python(service: Path, environment: EnvironmentOf) -> Environment:
    return environment(service)


@contextmanager
def attacked(service: Path, python: Environment, *limits: str, **variables: str) -> Iterator[Service]:
    variables = {"MAX_CONCURRENT_REQUESTS": str(SLOTS), "BODY_TIMEOUT": "1", "LOG_FORMAT": "json", **variables}
    environment = python.variables(service, **variables)
    with started(*limits, python.python, "attacked.py", cwd=service, environment=environment) as running:
        yield running


@pytest.fixture(scope="module")
def metrics_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def attacked_service(service: Path, python: Environment, metrics_port: int) -> Iterator[Service]:
    """Return a running service. After an attack it must be as good as new, so that the tests can share it."""
    with attacked(service, python, METRICS_PORT=str(metrics_port)) as running:
        yield running


@pytest.fixture
def running(attacked_service: Service) -> Iterator[Service]:
    """Return the shared service. After the attack, it must have closed all connections and logged no traceback."""
    assert attacked_service.get("/wait/0").status_code == 200  # The client keeps this connection.
    before, logged = descriptors(attacked_service), len(attacked_service.output())
    yield attacked_service
    wait_until(lambda: descriptors(attacked_service) <= before, message="Connections of the attack are still open.")
    assert attacked_service.get("/wait/0").status_code == 200
    assert "Traceback" not in attacked_service.output()[logged:]


def descriptors(running: Service) -> int:
    return len(list(Path(f"/proc/{running.process.pid}/fd").iterdir()))


def status_of(running: Service, name: str) -> int:
    """Return a number from the kernel's status of the process."""
    lines = Path(f"/proc/{running.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


@contextmanager
def connected(url: str, number: int, sent: bytes, receive_buffer: int = 0) -> Iterator[list[socket.socket]]:
    """Open connections that have sent these bytes."""
    address = httpx2.URL(url)
    with ExitStack() as stack:
        clients = []
        for _ in range(number):
            client = stack.enter_context(socket.socket())
            client.settimeout(IN_TIME)
            if receive_buffer:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            client.connect((address.host, address.port or 80))
            client.sendall(sent)
            clients.append(client)
        yield clients


def read_all(client: socket.socket) -> bytes:
    """Return what the service sends until it closes the connection."""
    received = b""
    with suppress(ConnectionError):
        while piece := client.recv(65536):
            received += piece
    return received


def read_problem(client: socket.socket) -> dict[str, Any]:
    received = b""
    while not received.endswith(b"}"):
        received += client.recv(65536)
    document: dict[str, Any] = json.loads(received.partition(b"\r\n\r\n")[2])
    return document


def is_open(client: socket.socket) -> bool:
    client.setblocking(False)
    try:
        return client.recv(65536) != b""
    except BlockingIOError:
        return True
    except ConnectionError:
        return False


def is_past(moment: float) -> bool:
    return time.monotonic() > moment


def drip(clients: list[socket.socket], byte: bytes) -> None:
    for client in clients:
        with suppress(OSError):
            client.send(byte)


CHUNKED = b"POST /size HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
ENDLESS = {
    "headers": (b"GET / HTTP/1.1\r\n", b"X-A: b\r\n"),
    "header": (b"GET / HTTP/1.1\r\nX-A: ", b"x"),
    "url": (b"GET /", b"x"),
    "blank-lines": (b"", b"\r\n"),
    "second-head": (b"GET /wait/0 HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\n", b"X-A: b\r\n"),
    "second-head-while-busy": (b"GET /wait/1 HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\n", b"X-A: b\r\n"),
    "trailers": (CHUNKED + b"1\r\nx\r\n0\r\n", b"X-A: b\r\n"),
    "chunk-extension": (CHUNKED + b"1;a=", b"x"),
    "pipelined-requests": (b"GET /wait/1 HTTP/1.1\r\nHost: a\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
}


@pytest.mark.parametrize("attack", ENDLESS)
def test_endless_heads_are_refused_and_need_no_memory(running: Service, attack: str) -> None:
    start, piece = ENDLESS[attack]
    before = status_of(running, "VmHWM")
    with connected(running.url, 1, start) as (client,), pytest.raises(ConnectionError):
        client.sendall(piece * (10_000_000 // len(piece)))
    assert status_of(running, "VmHWM") - before < 8192  # kB
    assert running.get("/wait/0").status_code == 200


@pytest.mark.parametrize("end", [b"", b"\r\n\r\n"], ids=["incomplete", "complete"])
def test_large_head_is_answered_with_431(running: Service, end: bytes) -> None:
    with connected(running.url, 1, b"GET / HTTP/1.1\r\nX-A: " + b"x" * 65536 + end) as (client,):
        assert read_all(client).startswith(b"HTTP/1.1 431 ")


def test_more_than_ten_pipelined_requests_are_refused(running: Service) -> None:
    head = b"GET /wait/1 HTTP/1.1\r\nHost: a\r\n\r\n"
    with connected(running.url, 1, 12 * head) as (client,):
        assert read_all(client).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("start", [b"GET /", b"GET /wait/0 HTTP/1.1\r\nHost: a\r\n\r\nGET /"], ids=["first", "second"])
def test_slow_heads_are_disconnected(running: Service, start: bytes) -> None:
    with connected(running.url, 3, start) as clients:

        def are_closed() -> bool:
            drip(clients, b"E")
            return not any(is_open(client) for client in clients)

        wait_until(are_closed, IN_TIME)


def test_idle_connections_do_not_use_up_the_file_descriptors(service: Path, python: Environment) -> None:
    with (
        attacked(service, python, "sh", "-c", 'ulimit -n 64 && exec "$@"', "sh") as running,
        connected(running.url, 100, b""),
    ):
        wait_until(lambda: is_served(f"{running.url}/health"), IN_TIME)
        assert running.get("/wait/0").status_code == 200


@pytest.mark.parametrize("dripping", [False, True], ids=["silent", "dripping"])
def test_bodies_that_do_not_arrive_free_their_slots(running: Service, dripping: bool) -> None:
    with connected(running.url, 2 * SLOTS, b"POST /size HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\n") as clients:

        def is_answered() -> bool:
            if dripping:
                drip(clients, b"x")
            return running.get("/wait/0").status_code == 200

        wait_until(lambda: not is_answered())
        assert running.get("/health").status_code == 200
        wait_until(is_answered, IN_TIME)
        responses = [read_problem(client) for client in clients]
    assert sorted(response["status"] for response in responses) == SLOTS * [408] + SLOTS * [503]
    assert sum(response["detail"] == "The request body did not arrive within 1 s." for response in responses) == SLOTS


@pytest.mark.parametrize("path", ["stream", "whole"])
def test_clients_that_do_not_read_are_disconnected(running: Service, path: str) -> None:
    request = f"GET /{path}/20000000 HTTP/1.1\r\nHost: a\r\n\r\n".encode()
    before = descriptors(running)
    with connected(running.url, SLOTS, request, receive_buffer=4096):
        wait_until(lambda: descriptors(running) == before + SLOTS)
        wait_until(lambda: running.get("/wait/0").status_code == 200, IN_TIME)
        wait_until(lambda: descriptors(running) == before, IN_TIME)


@pytest.mark.parametrize("path", ["stream", "whole"])
def test_clients_that_read_slowly_get_their_response(running: Service, path: str) -> None:
    size = 6_000_000
    request = f"GET /{path}/{size} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()
    began = time.monotonic()
    with connected(running.url, 1, request, receive_buffer=65536) as (client,):
        received = 0
        while piece := client.recv(65536):
            received += len(piece)
            wait_until(partial(is_past, began + 3 * received / size))
    assert received >= size


def test_slow_readers_of_metrics_do_not_stop_others(running: Service, metrics_port: int) -> None:
    url = f"http://127.0.0.1:{metrics_port}"
    threads = status_of(running, "Threads")
    with connected(url, 50, b"") as idle, connected(url, 50, b"G") as slow:
        assert is_served(f"{url}/metrics", timeout=1)
        assert status_of(running, "Threads") <= threads

        def are_closed() -> bool:
            drip(slow, b"E")
            return not any(is_open(client) for client in (*idle, *slow))

        wait_until(are_closed, IN_TIME)


def test_metrics_are_served_whatever_the_headers_are(running: Service, metrics_port: int) -> None:
    head = b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAccept: \xff\r\nAccept-Encoding: \xff\r\n\r\n"
    with connected(f"http://127.0.0.1:{metrics_port}", 1, head) as (client,):
        assert read_all(client).startswith(b"HTTP/1.1 200 ")


def test_paths_of_clients_are_not_labels(running: Service, metrics_port: int) -> None:
    for method, name in [(method, f"{'a/' * i}{i}.txt") for i in range(10) for method in ("GET", "HEAD")]:
        assert running.client.request(method, f"/shared/files/{name}").status_code in (200, 405)
    wait_until(lambda: running.output().count('"path": "/shared/files/') == 20)
    lines = [json.loads(line) for line in running.output().splitlines() if '"path": "/shared/files/' in line]
    assert {line["route"] for line in lines} == {"/shared/files/{name}"}
    samples = httpx2.get(f"http://127.0.0.1:{metrics_port}/metrics").text.splitlines()
    measured = {sample.partition(' http_route="')[2] or sample for sample in samples if "files" in sample}
    assert "/shared/files/{name}" in str(measured)
    assert ".txt" not in str(measured)


def test_large_body_may_arrive_with_its_head(running: Service) -> None:
    size = 200_000
    head = f"POST /size HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {size}\r\n\r\n".encode()
    with connected(running.url, 1, head + size * b"x") as (client,):
        assert read_all(client).endswith(b"\r\n200000")

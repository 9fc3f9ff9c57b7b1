"""Sign-ins of many clients at once, of several processes, and while Valkey fails."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx2
import pytest

from conftest import ROOT, Environment, EnvironmentOf, Render, run, run_unchecked, skip_outside_ci
from processes import Service, free_port, serving, wait_until

pytestmark = pytest.mark.slow

ADA = {"email": "ada@example.com", "password": "correct horse battery"}
GUESS = {**ADA, "password": "wrong password"}
AUTH = "/api/v1/auth"
CLIENTS = 150
"""Clients that sign in at the same time. They are more than the default of MAX_CONCURRENT_REQUESTS."""


@pytest.fixture
def service(render: Render, environment: EnvironmentOf, database: str) -> Iterator[Service]:
    """A service with the user Ada."""
    project = render(auth="jwt")
    python = environment(project)
    python.run(project, "alembic", "upgrade", "head", DATABASE_URL=database)
    with serving(project, python, database) as service:
        service.client.post(f"{AUTH}/register", json=ADA).raise_for_status()
        yield service


def sign_in(service: Service) -> dict[str, str]:
    response = service.client.post(f"{AUTH}/token", json=ADA).raise_for_status()
    tokens: dict[str, str] = response.json()
    return tokens


def guess(service: Service) -> int:
    return service.client.post(f"{AUTH}/token", json=GUESS).status_code


async def sign_in_from(port: int, number: int) -> bytes:
    """Sign in as a client with its own address, and return the status and the headers of the response."""
    body = json.dumps({**GUESS, "email": f"user{number}@example.com"})
    head = f"POST {AUTH}/token HTTP/1.1\r\nHost: test\r\nX-Forwarded-For: 192.0.2.{number}\r\nConnection: close\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    # One packet: the request must not hold a place while its body is on its way.
    writer.write(f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
    answer = await reader.read()
    writer.close()
    return answer.partition(b"\r\n\r\n")[0]


def test_signed_in_users_are_served_during_a_flood_of_sign_ins(service: Service) -> None:
    headers = {"Authorization": f"Bearer {sign_in(service)['access_token']}"}
    port = httpx2.URL(service.url).port
    assert port

    async def attacker(number: int) -> list[bytes]:
        return [await sign_in_from(port, number) for _ in range(3)]

    async def flood() -> tuple[list[bytes], list[int]]:
        served = []
        async with httpx2.AsyncClient(base_url=service.url, headers=headers, timeout=30) as user:
            await user.get(f"{AUTH}/me")  # opens the connection
            attack = asyncio.gather(*(attacker(number) for number in range(CLIENTS)))
            while not attack.done():
                served.append((await user.get(f"{AUTH}/me")).status_code)
            return [answer for answers in await attack for answer in answers], served

    answers, served = asyncio.run(flood())
    assert served
    assert set(served) == {200}, Counter(served)
    statuses = Counter(answer.split()[1] for answer in answers)
    assert set(statuses) == {b"401", b"503"}, statuses
    assert all(b"\r\nretry-after: " in answer.lower() for answer in answers if b" 503 " in answer)


def test_refresh_tokens_of_simultaneous_refreshes_keep_the_session(service: Service) -> None:
    tokens = sign_in(service)

    async def refresh(count: int, refresh_token: str) -> list[httpx2.Response]:
        async with httpx2.AsyncClient(base_url=service.url, timeout=30) as client:
            body = {"refresh_token": refresh_token}
            return await asyncio.gather(*(client.post(f"{AUTH}/refresh", json=body) for _ in range(count)))

    for count in (5, 5, 1):
        responses = asyncio.run(refresh(count, tokens["refresh_token"]))
        assert [response.status_code for response in responses] == [200] * count
        (following,) = {response.json()["refresh_token"] for response in responses}
        assert following != tokens["refresh_token"]
        tokens = responses[0].json()
        for response in responses:
            headers = {"Authorization": f"Bearer {response.json()['access_token']}"}
            assert service.client.get(f"{AUTH}/me", headers=headers).status_code == 200


def answers_at(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """A Valkey or Redis server: its port and its process."""
    program = shutil.which("valkey-server") or shutil.which("redis-server")
    if not program:
        skip_outside_ci("valkey-server is not installed. Run `apt-get install valkey-server` (or redis-server).")
    port = free_port()
    options = ("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--requirepass", "hunter2")
    with subprocess.Popen([program, *options], cwd=tmp_path, stdout=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: answers_at(port))
            yield port, process
        finally:
            process.kill()


@pytest.fixture
def client_package(shared: Path, tmp_path: Path) -> str:
    """Return a directory with the client of Valkey, which the dependencies of a render do not include."""
    uv = Path(sys.executable).with_name("uv")
    target = ("--target", str(tmp_path / "client"), "--no-deps", "--constraints", str(ROOT / "requirements.txt"))
    run(uv, "pip", "install", "--quiet", "--python", sys.executable, *target, "valkey", cwd=shared)
    return str(tmp_path / "client")


class WithClient(Environment):
    """An environment of a render with one more directory of packages."""

    def __init__(self, environment: Environment, package: str) -> None:
        super().__init__(environment.bin.parent)
        self._package = package

    def variables(self, project: Path, **environment: str) -> dict[str, str]:
        variables = super().variables(project, **environment)
        return {**variables, "PYTHONPATH": f"{variables['PYTHONPATH']}:{self._package}"}


@pytest.mark.parametrize("scheme", ["valkey", "redis"])
def test_processes_count_together_and_continue_without_the_storage(
    render: Render,
    environment: EnvironmentOf,
    database: str,
    storage: tuple[int, subprocess.Popen[bytes]],
    client_package: str,
    scheme: str,
) -> None:
    project = render(auth="jwt")
    python = WithClient(environment(project), client_package)
    python.run(project, "alembic", "upgrade", "head", DATABASE_URL=database)
    port, process = storage
    variables = {
        "RATE_LIMIT_STORAGE": f"{scheme}://:hunter2@127.0.0.1:{port}/1",
        "LOGIN_ATTEMPTS_PER_MINUTE": "4",
        "LOG_FORMAT": "json",
    }
    with ExitStack() as stack:
        first, second = (stack.enter_context(serving(project, python, database, **variables)) for _ in range(2))
        services = (first, second)
        assert [guess(service) for service in services * 3] == [401] * 4 + [429] * 2

        process.send_signal(signal.SIGSTOP)
        started = time.monotonic()
        assert [guess(first) for _ in range(5)] == [401] * 4 + [429]
        assert time.monotonic() - started < 10
        process.kill()
        assert [guess(second) for _ in range(5)] == [401] * 4 + [429]
        for service in services:
            lines = [line for line in service.output().splitlines() if "rate_limit_storage_unavailable" in line]
            assert len(lines) == 1
            assert json.loads(lines[0])["reason"]
            assert "hunter2" not in service.output()
            assert service.get("/health/ready").status_code == 200


def test_missing_client_of_the_storage_is_reported_at_the_start(render: Render, environment: EnvironmentOf) -> None:
    project = render(auth="jwt")
    python = environment(project)
    variables = python.variables(project, RATE_LIMIT_STORAGE="valkey://:hunter2@127.0.0.1:6379")
    finished = run_unchecked(python.python, "-m", "my_service", "config", cwd=project, **variables)
    assert finished.returncode == 1
    assert "RATE_LIMIT_STORAGE" in finished.stderr
    assert "package `valkey`" in finished.stderr
    assert "hunter2" not in finished.stderr
    assert "Traceback" not in finished.stderr

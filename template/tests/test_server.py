"""The real process, over real HTTP."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import pytest


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def serving(serve: list[str], **variables: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    port = free_port()
    environment = {**os.environ, "PORT": str(port), **variables}
    process = subprocess.Popen(serve, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                httpx2.get(f"{url}/health").raise_for_status()
                break
            except httpx2.TransportError:
                assert process.poll() is None, process.communicate()[0]
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield process, url
    finally:
        process.kill()
        process.communicate()


def wait_until_well(url: str) -> None:
    """On a busy machine, the database may take longer than a health check waits for it."""
    deadline = time.monotonic() + 10
    while httpx2.get(url).status_code != 200:
        assert time.monotonic() < deadline, url


def test_the_service_serves_until_it_is_told_to_stop(serve: list[str]) -> None:
    with serving(serve) as (process, url):
        for path in ("/health/db", "/health/ready"):
            wait_until_well(url + path)
        for path in ("/health", "/docs", "/openapi.json"):
            assert httpx2.get(url + path).status_code == 200, path
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


@pytest.mark.parametrize(
    ("proxies", "client"),
    [("127.0.0.1", "192.0.2.1"), ("10.0.0.0/8,127.0.0.0/8", "192.0.2.1"), ("10.0.0.1", "127.0.0.1")],
)
def test_a_client_is_who_a_known_proxy_says(serve: list[str], proxies: str, client: str) -> None:
    with serving(serve, FORWARDED_ALLOW_IPS=proxies) as (process, url):
        httpx2.get(f"{url}/docs", headers={"X-Forwarded-For": "192.0.2.1"})
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=10)
    assert f"client={client} " in output


def test_readiness_fails_before_the_server_stops_accepting(serve: list[str]) -> None:
    with serving(serve, SHUTDOWN_DELAY="3") as (process, url):
        process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 3
        while httpx2.get(f"{url}/health/ready").status_code == 200:
            assert time.monotonic() < deadline
        assert httpx2.get(f"{url}/health").status_code == 200
        assert process.wait(10) == 0


def test_a_second_signal_stops_it_at_once(serve: list[str]) -> None:
    with serving(serve, SHUTDOWN_DELAY="60") as (process, url):
        process.send_signal(signal.SIGINT)
        while httpx2.get(f"{url}/health/ready").status_code == 200:
            pass
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "sqlite:////nonexistent/directory/test.db"),
        ("DATABASE_URL", "hunter2"),
        ("DATABASE_STARTUP_TIMEOUT", "long"),
    ],
)
def test_what_keeps_it_from_starting_is_said_in_a_line(serve: list[str], name: str, value: str) -> None:
    assert_refused(serve, {"PORT": str(free_port()), "DATABASE_STARTUP_TIMEOUT": "0", name: value}, name)


def test_a_port_in_use_is_said_with_the_remedy(serve: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert_refused(serve, {"PORT": str(taken.getsockname()[1])}, "PORT")


def assert_refused(serve: list[str], variables: dict[str, str], message: str) -> None:
    environment = {**os.environ, **variables}
    finished = subprocess.run(serve, env=environment, capture_output=True, text=True, check=False)
    output = finished.stdout + finished.stderr
    assert finished.returncode != 0
    assert message in output
    assert "Traceback" not in output
    assert "hunter2" not in output


def run(serve: list[str], *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **variables}
    return subprocess.run([*serve, *arguments], env=environment, capture_output=True, text=True, check=False)


def test_the_command_line_explains_itself(serve: list[str]) -> None:
    shown = run(serve, "--help").stdout
    for command in ("config", "health", "routes", "--reload", "--version"):
        assert command in shown
    assert run(serve, "--version").stdout.count(".") == 2


def test_the_settings_are_shown_without_secrets(serve: list[str]) -> None:
    shown = run(serve, "config", SECRET_KEY="hunter2", LOG_LEVELS="a=DEBUG,b.c=ERROR")
    assert shown.returncode == 0
    assert "LOG_LEVELS={'a': 'DEBUG', 'b.c': 'ERROR'}\n" in shown.stdout
    assert "hunter2" not in shown.stdout
    refused = run(serve, "config", LOG_LEVELS="a=LOUD")
    assert refused.returncode == 1
    assert "LOG_LEVELS.A" in refused.stderr


def test_the_routes_are_listed(serve: list[str]) -> None:
    assert "GET     /health/ready  Ready\n" in run(serve, "routes").stdout


def test_health_is_asked_from_the_command_line(serve: list[str]) -> None:
    with serving(serve) as (_, url):
        wait_until_well(f"{url}/health/ready")
        well = run(serve, "health", PORT=url.rpartition(":")[2])
        assert (well.returncode, well.stdout) == (0, "database: ok\nmigrations: ok\naccepting: ok\n")
    gone = run(serve, "health", PORT=url.rpartition(":")[2])
    assert gone.returncode == 1
    assert "nothing answers" in gone.stderr

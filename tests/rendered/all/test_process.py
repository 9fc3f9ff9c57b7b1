"""Run the service and its commands as processes."""

import json
import signal
import socket
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import httpx2
import pytest
from processes import SERVE, free_port, run_alembic, run_python, serving, wait_for, wait_until_healthy

pytestmark = pytest.mark.usefixtures("empty_database")


@pytest.fixture
def migrated_database(empty_database: str) -> None:
    run_alembic("upgrade", "head")


@pytest.mark.usefixtures("migrated_database")
def test_process_serves_until_sigterm() -> None:
    with serving(*SERVE) as (process, url):
        for path in ("/health/db", "/health/ready"):
            wait_until_healthy(url + path)
        for path in ("/health", "/docs", "/openapi.json"):
            assert httpx2.get(url + path).status_code == 200, f"{path} does not return 200."
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_process_without_standard_output_serves() -> None:
    code = "import os, sys; os.close(1); os.execv(sys.executable, [sys.executable, '-m', 'my_service'])"
    with serving("-c", code) as (process, url):
        assert httpx2.get(f"{url}/docs").status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_head_sends_no_body() -> None:
    with serving(*SERVE) as (_, url):
        for path in ("/health", "/openapi.json", "/docs", "/nowhere"):
            get = httpx2.get(url + path)
            with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as connection:
                connection.sendall(f"HEAD {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
                head, _, body = b"".join(iter(lambda: connection.recv(65536), b"")).partition(b"\r\n\r\n")
            assert head.startswith(f"HTTP/1.1 {get.status_code} ".encode())
            assert f"content-length: {len(get.content)}" in head.decode().lower()
            assert body == b""


@pytest.mark.parametrize(
    ("proxies", "client"),
    [("127.0.0.1", "192.0.2.1"), ("10.0.0.0/8,127.0.0.0/8", "192.0.2.1"), ("10.0.0.1", "127.0.0.1")],
)
def test_client_address_is_taken_only_from_trusted_proxies(proxies: str, client: str) -> None:
    with serving(*SERVE, FORWARDED_ALLOW_IPS=proxies) as (process, url):
        httpx2.get(f"{url}/docs", headers={"X-Forwarded-For": "192.0.2.1"})
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=10)
    assert f"client={client} " in output


def test_links_contain_the_prefix_that_a_proxy_removes() -> None:
    with serving(*SERVE, ROOT_PATH="/shop", LOG_FORMAT="json") as (process, url):
        assert httpx2.get(f"{url}/openapi.json").json()["servers"] == [{"url": "/shop"}]
        assert "url: 'openapi.json'" in httpx2.get(f"{url}/docs").text  # relative to the page
        redirect = httpx2.get(f"{url}/docs/", follow_redirects=False)
        assert redirect.headers["Location"] == f"{url}/shop/docs"
        assert httpx2.get(f"{url}/nowhere").json()["instance"] == "/shop/nowhere"
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=10)
    requests = [line for line in map(json.loads, output.splitlines()) if line["event"] == "request"]
    assert [line["path"] for line in requests] == ["/shop/openapi.json", "/shop/docs", "/shop/docs/", "/shop/nowhere"]


def test_readiness_fails_before_the_process_stops_accepting() -> None:
    with serving(*SERVE, SHUTDOWN_DELAY="3") as (process, url):
        process.send_signal(signal.SIGTERM)
        wait_for(
            lambda: httpx2.get(f"{url}/health/ready").status_code != 200, "/health/ready does not fail.", seconds=3
        )
        assert httpx2.get(f"{url}/health").status_code == 200
        assert process.wait(10) == 0


def test_second_signal_stops_the_process_at_once() -> None:
    with serving(*SERVE, SHUTDOWN_DELAY="60") as (process, url):
        process.send_signal(signal.SIGINT)
        wait_for(
            lambda: "failing" in httpx2.get(f"{url}/health/ready").json()["checks"]["accepting"],
            "/health/ready does not fail.",
        )
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0


def assert_refused(variables: dict[str, str], message: str) -> None:
    finished = run_python(*SERVE, **{"PORT": str(free_port()), "DATABASE_STARTUP_TIMEOUT": "0", **variables})
    output = finished.stdout + finished.stderr
    assert finished.returncode != 0
    assert message in output
    assert "Traceback" not in output
    assert "hunter2" not in output


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "sqlite:////nonexistent/directory/test.db"),
        ("DATABASE_URL", "hunter2"),
        ("DATABASE_STARTUP_TIMEOUT", "long"),
        ("PORT", "many"),
    ],
)
def test_failed_start_is_explained_without_traceback(name: str, value: str) -> None:
    assert_refused({name: value}, name)


@pytest.mark.parametrize("name", ["PORT", "METRICS_PORT"])
def test_port_in_use_is_explained_without_traceback(name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert_refused({name: str(taken.getsockname()[1])}, name)


def test_help_lists_the_commands() -> None:
    shown = run_python(*SERVE, "--help").stdout
    for command in ("config", "health", "routes", "--reload", "--version"):
        assert command in shown
    assert run_python(*SERVE, "--version").stdout == "0.1.0\n"


def test_config_command_shows_settings_without_secrets() -> None:
    shown = run_python(*SERVE, "config", SECRET_KEY="hunter2", LOG_LEVELS="a=DEBUG,b.c=ERROR")
    assert shown.returncode == 0
    assert "LOG_LEVELS={'a': 'DEBUG', 'b.c': 'ERROR'}\n" in shown.stdout
    assert "hunter2" not in shown.stdout
    refused = run_python(*SERVE, "config", LOG_LEVELS="a=LOUD")
    assert refused.returncode == 1
    assert "LOG_LEVELS.A" in refused.stderr


def test_routes_command_lists_the_routes() -> None:
    assert "GET     /health/ready  Check Readiness\n" in run_python(*SERVE, "routes").stdout


@pytest.mark.usefixtures("migrated_database")
def test_health_command_checks_the_running_process() -> None:
    with serving(*SERVE) as (_, url):
        port = url.rpartition(":")[2]
        wait_until_healthy(f"{url}/health/ready")
        healthy = run_python(*SERVE, "health", PORT=port)
        assert (healthy.returncode, healthy.stdout) == (0, "database: ok, migrations: ok, accepting: ok\n")
    missing = run_python(*SERVE, "health", PORT=port)
    assert missing.returncode == 1
    assert "No health report" in missing.stderr


def test_health_command_names_the_settings_if_another_server_answers() -> None:
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        thread = Thread(target=server.handle_request)
        thread.start()
        refused = run_python(*SERVE, "health", PORT=str(server.server_port))
        thread.join()
    assert refused.returncode == 1
    assert "HOST and PORT" in refused.stderr
    assert "Traceback" not in refused.stderr

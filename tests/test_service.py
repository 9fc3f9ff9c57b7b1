"""Run the suite, the type check, the migrations and the server of renders."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest

from answers import CORNERS, HOSTILE, LONGEST, Answers, suites
from conftest import EnvironmentOf, Render, in_fast_part, query, run_unchecked
from processes import serving, wait_until

RUNS = suites()
SERVICES = {corner: CORNERS[corner] for corner in (name.partition("-on-")[0] for name in RUNS)}


@pytest.mark.parametrize("name", in_fast_part(RUNS, "namespaced-example-on-postgresql"))
def test_rendered_suite_passes(project: Render, environment: EnvironmentOf, postgres: str, name: str) -> None:
    answers = dict(RUNS[name])
    url = {"postgresql": postgres, "sqlite": "sqlite://"}[answers.pop("server")]
    service = project(**answers)
    environment(service).run(service, "pytest", "--cov", "-q", TEST_DATABASE_URL=url)


@pytest.mark.parametrize("corner", in_fast_part(SERVICES, "namespaced-example", "namespaced-jwt-bare"))
def test_type_check_passes(project: Render, environment: EnvironmentOf, shared: Path, corner: str) -> None:
    service = project(**SERVICES[corner])
    environment(service).run(service, "mypy", "--cache-dir", str(shared / "mypy"))


@pytest.mark.slow
@pytest.mark.parametrize("answers", [HOSTILE, LONGEST], ids=["hostile", "longest"])
def test_suite_passes_with_unusual_names(
    project: Render, environment: EnvironmentOf, postgres: str, answers: Answers
) -> None:
    service = project(**answers)
    environment(service).run(service, "pytest", "-q", TEST_DATABASE_URL=postgres)


TABLES = """
    SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 2
"""
SCHEMAS = "SELECT nspname FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%' ORDER BY 1"


@pytest.mark.parametrize(
    ("corner", "home", "tables"),
    [
        ("namespaced-example", "orders", {"item"}),
        ("plain-example", "public", {"item"}),
        ("namespaced-jwt-example", "orders", {"item", "users", "user_session"}),
    ],
)
def test_migrations_create_tables_only_in_their_schema(
    project: Render, environment: EnvironmentOf, database: str, corner: str, home: str, tables: set[str]
) -> None:
    service = project(**CORNERS[corner])
    query(database, "CREATE SCHEMA others")
    query(database, "CREATE TABLE others.theirs (id integer)")
    query(database, "CREATE TABLE public.theirs (id integer)")
    before = query(database, SCHEMAS), query(database, TABLES)
    alembic = environment(service)
    url = f"{database}?sslmode=disable"
    alembic.run(service, "alembic", "upgrade", "head", DATABASE_URL=url)
    assert set(query(database, TABLES)) - set(before[1]) == {(home, name) for name in {"alembic_version", *tables}}
    alembic.run(service, "alembic", "check", DATABASE_URL=url)
    alembic.run(service, "alembic", "downgrade", "base", DATABASE_URL=url)
    assert (query(database, SCHEMAS), query(database, TABLES)) == before


ORDER = """
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Mapped, mapped_column

from .base import Base


class Status(StrEnum):
    OPEN = "open"
    CLOSED = "closed"


class Order(Base):
    number: Mapped[int] = mapped_column(index=True)
    status: Mapped[Status]
    parts: Mapped[list[UUID]]
    plan: Mapped[dict[str, Any]]
"""


def test_generated_migration_of_a_new_model_passes_the_suite(
    project: Render, environment: EnvironmentOf, database: str, postgres: str
) -> None:
    service = project(**CORNERS["namespaced-bare"])
    models = service / "src" / "my_service" / "models"
    (models / "order.py").write_text(ORDER)
    with (models / "__init__.py").open("a") as init:
        init.write("\nfrom .order import Order\n")
    python = environment(service)
    python.script(service, "scripts/make_revision.py", "add orders")
    written = next((service / "alembic" / "versions").glob("*_add_orders.py"))
    python.run(service, "ruff", "check", "--no-cache", str(written))
    python.run(service, "ruff", "format", "--no-cache", "--check", str(written))
    assert "my_service" not in written.read_text()
    python.run(service, "alembic", "upgrade", "head", DATABASE_URL=database)
    assert ("orders", "order") in query(database, TABLES)
    for url in (postgres, "sqlite://"):
        python.run(service, "pytest", "-q", "tests/test_migrations.py", TEST_DATABASE_URL=url)


@pytest.mark.parametrize("corner", in_fast_part(SERVICES, "namespaced-example", "sqlite-example"))
def test_service_serves_requests(
    project: Render, environment: EnvironmentOf, database: str, tmp_path: Path, corner: str
) -> None:
    answers = CORNERS[corner]
    service = project(**answers)
    python = environment(service)
    url = database if answers["database_backend"] == "postgresql" else f"sqlite:///{tmp_path / 'service.db'}"
    with serving(service, python, url) as running:
        migrated = running.get("/health/ready")
        # Without migrations, the service is ready at once.
        assert migrated.status_code == (503 if answers["include_example"] or answers["auth"] == "jwt" else 200)
        assert running.get("/health/db").status_code == 200
        python.run(service, "alembic", "upgrade", "head", DATABASE_URL=url)
        wait_until(lambda: running.get("/health/ready").status_code == 200, seconds=5)
        for path in ("/health", "/health/db", "/docs"):
            assert running.get(path).status_code == 200
        description = running.get("/openapi.json").json()
        assert description["info"]["title"] == "My Service"
        if answers["auth"] == "jwt":
            ada = {"email": "ada@example.com", "password": "correct horse battery"}
            assert running.client.post("/api/v1/items", json={"name": "Teapot"}).status_code in (401, 404)
            assert running.client.post("/api/v1/auth/register", json=ada).status_code == 201
            tokens = running.client.post("/api/v1/auth/token", json=ada).json()
            running.client.headers["Authorization"] = f"Bearer {tokens['access_token']}"
            assert running.get("/api/v1/auth/me").json()["email"] == "ada@example.com"
        if answers["include_example"]:
            created = running.client.post("/api/v1/items", json={"name": "Teapot"})
            assert created.status_code == 201
            assert running.get(created.headers["Location"]).json() == created.json()
        running.process.terminate()
        assert running.process.wait(10) == 0


@pytest.mark.slow
@pytest.mark.parametrize("auth", ["none", "jwt"])
def test_module_without_router_is_not_served(project: Render, environment: EnvironmentOf, auth: str) -> None:
    service = project(**{**CORNERS["sqlite-bare"], "auth": auth})
    (service / "src" / "my_service" / "api" / "routes" / "helpers.py").write_text("LIMIT = 3\n")
    routes = environment(service).run(service, "my_service", "routes").stdout
    assert "GET     /health/ready  Check Readiness\n" in routes


@pytest.mark.slow
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::"])
def test_health_answers_requests_for_every_host(
    project: Render, environment: EnvironmentOf, tmp_path: Path, host: str
) -> None:
    service = project(**CORNERS["sqlite-bare"])
    python = environment(service)
    variables = {"HOST": host, "ALLOWED_HOSTS": "api.example.com"}
    with serving(service, python, f"sqlite:///{tmp_path / 'service.db'}", **variables) as running:
        asked = python.run(service, "my_service", "health", PORT=str(httpx2.URL(running.url).port), **variables)
        assert asked.stdout == "database: ok, migrations: ok, accepting: ok\n"
        for named in ("localhost", "10.0.0.7:8000", "app", "[::1]:8000", "evil.example.com", ""):
            for path in ("/health", "/health/db", "/health/ready"):
                assert running.client.get(path, headers={"Host": named}).status_code == 200
            refused = running.client.get("/docs", headers={"Host": named})
            assert (refused.status_code, refused.headers["content-type"]) == (400, "application/problem+json")
            assert refused.headers["x-request-id"] == refused.json()["request_id"]
        assert running.client.get("/docs", headers={"Host": "api.example.com"}).status_code == 200


ANSWERS = {
    "nothing listens": None,
    "closes the connection": b"",
    "speaks another protocol": b"220 mail.example.com ESMTP\r\n",
    "serves a page": b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n<html></html>",
    "serves a list": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
    "serves other checks": b'HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{"checks": []}',
    "serves many levels": b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n" + b"[" * 60_000,
    "serves spaces without end": b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 50_000_000,
    "sends many headers": b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 1000,
    "serves an error": b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}",
}


@pytest.mark.slow
def test_health_command_tells_in_one_line_what_it_got(project: Render, environment: EnvironmentOf) -> None:
    service = project(**CORNERS["sqlite-bare"])
    python = environment(service)
    for name, answer in ANSWERS.items():
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = int(listener.getsockname()[1])
            if answer is None:
                listener.close()
            else:
                threading.Thread(target=answer_once, args=(listener, answer)).start()
            command = (python.python, "-m", "my_service", "health")
            asked = run_unchecked(*command, cwd=service, **python.variables(service, PORT=str(port)))
        assert (asked.returncode, asked.stdout) == (1, ""), name
        assert asked.stderr.startswith(f"Error: No health report from 127.0.0.1:{port} ("), name
        assert "()" not in asked.stderr, name
        assert asked.stderr.count("\n") == 1, name


@pytest.mark.slow
def test_health_command_has_a_deadline(project: Render, environment: EnvironmentOf) -> None:
    service = project(**CORNERS["sqlite-bare"])
    python = environment(service)
    asked = threading.Event()

    def drip(listener: socket.socket) -> None:
        client, _ = listener.accept()
        with client, suppress(OSError):
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while not asked.wait(1):
                client.sendall(b" ")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip, args=(listener,))
        thread.start()
        variables = python.variables(service, PORT=str(listener.getsockname()[1]))
        started = time.monotonic()
        try:
            answered = run_unchecked(python.python, "-m", "my_service", "health", cwd=service, **variables)
        finally:
            asked.set()
            thread.join()
    assert time.monotonic() - started < 10
    assert answered.returncode == 1
    assert answered.stderr.startswith("Error: No health report from 127.0.0.1:")


def answer_once(listener: socket.socket, answer: bytes) -> None:
    client, _ = listener.accept()
    with client:
        client.recv(65536)
        with suppress(OSError):  # the client has closed the connection
            client.sendall(answer)

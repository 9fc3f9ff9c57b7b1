"""Count imported modules, SQL statements, and objects. The counts do not depend on the machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from conftest import EnvironmentOf, Render
from processes import free_port

MODULES = 480
"""Limit for the number of modules. It is a few percent above the number at present."""

PROGRAM = """
import asyncio, json, os, sys

from httpx2 import ASGITransport, AsyncClient
from sqlalchemy import event

before = set(sys.modules)
from my_service.main import create_app
from my_service.__main__ import Server

app = create_app()
statements = []


async def main():
    async with app.router.lifespan_context(app):
        # import-linter imports rich and its dependencies. Production does not install import-linter.
        development = ("rich", "pygments", "markdown_it", "mdurl")
        modules = {name for name in set(sys.modules) - before if not name.startswith(development)}
        engine = app.state.database.engine.sync_engine
        note = lambda sql: statements.append(sql.split(maxsplit=1)[0].rstrip(";"))
        # The engine reports its statements. The driver reports BEGIN, COMMIT, and its own queries.
        event.listen(engine, "before_cursor_execute", lambda *arguments: note(arguments[2]))
        log = lambda record: note(record.query)
        event.listen(engine, "connect", lambda connection, _: connection.driver_connection.add_query_logger(log))
        async with AsyncClient(transport=ASGITransport(app), base_url="http://test") as client:
            async def statements_of(method, path, **options):
                statements.clear()
                response = await client.request(method, path, **options)
                assert response.is_success, response.text
                return response, list(statements)

            created, _ = await statements_of("POST", "/api/v1/items", json={"name": "first"})
            item = created.headers["Location"]
            counts = {
                "create": (await statements_of("POST", "/api/v1/items", json={"name": "second"}))[1],
                "read": (await statements_of("GET", item))[1],
                "list": (await statements_of("GET", "/api/v1/items"))[1],
                "update": (await statements_of("PATCH", item, json={"name": "third"}))[1],
                "delete": (await statements_of("DELETE", item))[1],
                "health": (await statements_of("GET", "/health"))[1],
            }
    print("RESULT", json.dumps({"modules": sorted(modules), "statements": counts}))


asyncio.run(main())
"""

SERVING = """
import asyncio, gc

from my_service.main import create_app
from my_service.__main__ import Server, get_settings


async def main():
    server = Server(create_app(), get_settings())
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    print("RESULT", len(gc.get_objects()), gc.get_freeze_count())
    server.should_exit = True
    await serving


asyncio.run(main())
"""


@pytest.fixture(scope="module")
def costs(render: Render, environment: EnvironmentOf, postgres: str) -> dict[str, Any]:
    service = render()
    python = environment(service)
    python.run(service, "alembic", "upgrade", "head", DATABASE_URL=postgres)
    output = python.script(service, "-c", PROGRAM, DATABASE_URL=postgres, LOG_LEVEL="ERROR").stdout
    counted: dict[str, Any] = json.loads(output.rpartition("RESULT ")[2])
    return counted


def test_requests_send_only_the_expected_statements(costs: dict[str, Any]) -> None:
    assert costs["statements"] == {
        "create": ["INSERT", "BEGIN", "COMMIT"],  # The driver sends BEGIN after the engine reports INSERT.
        "read": ["SELECT"],
        "list": ["SELECT"],
        "update": ["SELECT", "BEGIN", "UPDATE", "COMMIT"],
        "delete": ["SELECT", "BEGIN", "DELETE", "COMMIT"],
        "health": [],
    }


def test_server_imports_only_needed_modules(costs: dict[str, Any]) -> None:
    modules = costs["modules"]
    assert len(modules) < MODULES
    for unneeded in ("alembic", "mako", "opentelemetry.sdk", "opentelemetry.exporter", "prometheus_client", "jinja2"):
        assert not [name for name in modules if f"{name}.".startswith(f"{unneeded}.")], (
            f"The server imports {unneeded}."
        )


def test_command_line_does_not_import_the_application(render: Render, environment: EnvironmentOf) -> None:
    service = render()
    program = "import sys, my_service.__main__; print(*sys.modules)"
    loaded = environment(service).script(service, "-c", program).stdout.split()
    assert "my_service.config" in loaded
    assert "my_service.main" not in loaded
    assert "fastapi" not in loaded


def test_garbage_collector_ignores_objects_created_at_start(
    render: Render, environment: EnvironmentOf, tmp_path: Path
) -> None:
    service = render()
    database = f"sqlite:///{tmp_path / 'test.db'}"
    python = environment(service)
    output = python.script(service, "-c", SERVING, DATABASE_URL=database, LOG_LEVEL="ERROR", PORT=str(free_port()))
    looked_through, frozen = map(int, output.stdout.rpartition("RESULT ")[2].split())
    assert frozen > 50_000
    assert looked_through < frozen / 50

"""The health endpoints tell the truth, and soon."""

import asyncio
from dataclasses import replace

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient
from sqlalchemy import event
from sqlalchemy.ext.asyncio import create_async_engine


@pytest.mark.parametrize("path", ["/health", "/health/db", "/health/ready"])
async def test_all_is_well(client: AsyncClient, path: str) -> None:
    response = await client.get(path)
    assert response.status_code == 200
    assert response.json()["status"] == "ok"


async def test_the_pool_can_be_observed(client: AsyncClient) -> None:
    assert (await client.get("/health/db")).json()["pool"].keys() == {"in_use", "idle", "overflow"}


@pytest.fixture
async def unreachable(app: FastAPI) -> None:
    await app.state.database.probe_engine.dispose()
    app.state.database.probe_engine = create_async_engine("sqlite+aiosqlite:////nonexistent/directory/test.db")


@pytest.mark.usefixtures("unreachable")
@pytest.mark.parametrize("path", ["/health/db", "/health/ready"])
async def test_a_dead_database_is_told_without_detail(client: AsyncClient, path: str) -> None:
    response = await client.get(path)
    assert response.status_code == 503
    assert response.json()["status"] == "unavailable"
    assert response.json()["checks"]["database"] == "failing"
    assert "nonexistent" not in response.text
    assert (await client.get("/health")).status_code == 200


@pytest.fixture
def queries(app: FastAPI) -> list[str]:
    """The statements that health checks send."""
    queries: list[str] = []
    engine = app.state.database.probe_engine.sync_engine
    event.listen(engine, "before_cursor_execute", lambda *arguments: queries.append(arguments[2]))
    return queries


async def test_simultaneous_probes_share_one_query(app: FastAPI, queries: list[str]) -> None:
    assert all(await asyncio.gather(*(app.state.health.database_answers() for _ in range(20))))
    assert len(queries) == len(set(queries))


async def test_readiness_asks_once(client: AsyncClient, queries: list[str]) -> None:
    assert (await client.get("/health/ready")).status_code == 200
    assert len(queries) == len(set(queries))


async def test_readiness_waits_for_migrations(app: FastAPI, client: AsyncClient) -> None:
    revisions = app.state.health._revisions
    app.state.health._revisions = replace(revisions, latest=frozenset({"later"}), known=revisions.known | {"later"})
    response = await client.get("/health/ready")
    assert response.status_code == 503
    assert response.json()["checks"] == {"database": "ok", "migrations": "failing", "accepting": "ok"}
    assert (await client.get("/health/db")).status_code == 200


@pytest.mark.parametrize(
    ("applied", "ready"), [({"second"}, True), ({"third"}, True), ({"first"}, False), (set(), False)]
)
def test_the_code_runs_on_a_database_ahead_of_it(app: FastAPI, applied: set[str], ready: bool) -> None:
    """As it has to while a release with a migration rolls out."""
    revisions = replace(app.state.health._revisions, latest=frozenset({"second"}), known=frozenset({"first", "second"}))
    assert revisions.are_met_by(frozenset(applied)) is ready


async def test_readiness_ends_when_the_process_is_asked_to_stop(app: FastAPI, client: AsyncClient) -> None:
    app.state.health.draining = True
    assert (await client.get("/health/ready")).status_code == 503
    assert (await client.get("/health")).status_code == 200

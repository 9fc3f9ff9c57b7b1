"""Health endpoints."""

import asyncio
from dataclasses import replace

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient
from sqlalchemy import event
from sqlalchemy.ext.asyncio import create_async_engine


@pytest.mark.parametrize("path", ["/health", "/health/db", "/health/ready"])
async def test_healthy_service_returns_200(client: AsyncClient, path: str) -> None:
    response = await client.get(path)
    assert response.status_code == 200
    assert response.json()["status"] == "ok"


async def test_database_health_reports_the_pool(client: AsyncClient) -> None:
    assert (await client.get("/health/db")).json()["pool"].keys() == {"in_use", "idle", "overflow"}


@pytest.fixture
async def unreachable_database(app: FastAPI) -> None:
    await app.state.database.probe_engine.dispose()
    app.state.database.probe_engine = create_async_engine("sqlite+aiosqlite:////nonexistent/directory/test.db")


@pytest.mark.usefixtures("unreachable_database")
@pytest.mark.parametrize("path", ["/health/db", "/health/ready"])
async def test_unreachable_database_returns_503_without_details(client: AsyncClient, path: str) -> None:
    response = await client.get(path)
    assert response.status_code == 503
    assert response.json()["status"] == "unavailable"
    assert response.json()["checks"]["database"] == "failing"
    assert "nonexistent" not in response.text
    assert (await client.get("/health")).status_code == 200


async def test_database_slower_than_the_deadline_returns_503(app: FastAPI, client: AsyncClient) -> None:
    app.state.health.deadline = 0
    async with app.state.database.probe_engine.connect():  # the probe waits for the only connection
        assert (await client.get("/health/db")).status_code == 503


async def test_simultaneous_health_checks_share_one_query(app: FastAPI) -> None:
    statements: list[str] = []
    engine = app.state.database.probe_engine.sync_engine
    event.listen(engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    assert all(await asyncio.gather(*(app.state.health.database_answers() for _ in range(20))))
    assert len(statements) == len(set(statements)) > 0


async def test_readiness_fails_until_the_database_is_migrated(app: FastAPI, client: AsyncClient) -> None:
    health = app.state.health
    known = await health._applied_revisions() | {"later"}
    health._revisions = replace(health._revisions, latest=frozenset({"later"}), known=known)
    response = await client.get("/health/ready")
    assert response.status_code == 503
    assert response.json()["checks"] == {"database": "ok", "migrations": "failing", "accepting": "ok"}
    assert (await client.get("/health/db")).status_code == 200


async def test_readiness_fails_while_the_process_stops(app: FastAPI, client: AsyncClient) -> None:
    app.state.health.draining = True
    assert (await client.get("/health/ready")).status_code == 503
    assert (await client.get("/health")).status_code == 200

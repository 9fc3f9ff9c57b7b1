"""Health endpoints."""

import asyncio
from dataclasses import replace

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient
from sqlalchemy.ext.asyncio import create_async_engine
from support.polling import wait_until


@pytest.mark.parametrize("path", ["/health", "/health/db", "/health/ready"])
async def test_healthy_service_returns_200(client: AsyncClient, path: str) -> None:
    response = await client.get(path)
    assert response.status_code == 200
    assert response.json()["status"] == "ok"
    head = await client.head(path)
    assert (head.status_code, head.content) == (200, b"")


async def test_database_health_reports_the_pool(client: AsyncClient) -> None:
    assert (await client.get("/health/db")).json()["pool"].keys() == {"in_use", "idle", "overflow", "limit", "waiting"}


@pytest.fixture
async def unreachable_database(app: FastAPI) -> None:
    await app.state.database.probe_engine.dispose()
    app.state.database.probe_engine = create_async_engine("sqlite+aiosqlite:////nonexistent/directory/test.db")
    await app.state.health.probe()


@pytest.mark.usefixtures("unreachable_database")
@pytest.mark.parametrize("path", ["/health/db", "/health/ready"])
async def test_unreachable_database_returns_503_without_details(client: AsyncClient, path: str) -> None:
    response = await client.get(path)
    assert response.status_code == 503
    assert response.json()["status"] == "unavailable"
    assert response.json()["checks"]["database"] == "failing"
    assert "nonexistent" not in response.text
    assert (await client.get("/health")).status_code == 200


async def test_outdated_result_returns_503(app: FastAPI, client: AsyncClient) -> None:
    app.state.health._interval = 1
    app.state.health._finished_at -= 2
    assert (await client.get("/health/db")).status_code == 503
    await app.state.health.probe()
    assert (await client.get("/health/db")).status_code == 200


async def test_database_is_probed_in_the_background(app: FastAPI) -> None:
    health = app.state.health
    health._interval = 0.01
    first = health._probed_at
    watching = asyncio.create_task(health.watch())
    await wait_until(lambda: health._probed_at > first)
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching


async def test_readiness_fails_until_the_database_is_migrated(app: FastAPI, client: AsyncClient) -> None:
    health = app.state.health
    known = health._applied | {"later"}
    health._revisions = replace(health._revisions, latest=frozenset({"later"}), known=known)
    response = await client.get("/health/ready")
    assert response.status_code == 503
    assert response.json()["checks"] == {"database": "ok", "migrations": "failing", "accepting": "ok"}
    assert (await client.get("/health/db")).status_code == 200


async def test_readiness_fails_while_the_process_stops(app: FastAPI, client: AsyncClient) -> None:
    app.state.health.draining = True
    assert (await client.get("/health/ready")).status_code == 503
    assert (await client.get("/health")).status_code == 200

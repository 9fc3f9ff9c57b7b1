"""Test of health checks with a database server that accepts connections and never responds."""

import asyncio
from collections.abc import AsyncIterator
from time import perf_counter

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient
from sqlalchemy.ext.asyncio import create_async_engine


@pytest.fixture
async def silent_server(app: FastAPI) -> AsyncIterator[None]:
    writers: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: writers.append(writer), "127.0.0.1")
    port = server.sockets[0].getsockname()[1]
    del app.state.health.deadline  # The `app` fixture sets a longer deadline.
    await app.state.database.probe_engine.dispose()
    app.state.database.probe_engine = create_async_engine(f"postgresql+asyncpg://user@127.0.0.1:{port}/name")
    yield
    for writer in writers:
        writer.close()
    server.close()


@pytest.mark.usefixtures("silent_server")
async def test_health_returns_503_in_time_when_the_database_is_silent(client: AsyncClient) -> None:
    for path in ("/health/db", "/health/ready", "/health/db"):
        started = perf_counter()
        response = await client.get(path)
        assert response.status_code == 503
        assert perf_counter() - started < 0.5  # The limit is 0.1 s on an idle machine.

"""Test of the round trips to the database that authentication adds to a request."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from fastapi import FastAPI
from real_pool import connected, running
from sqlalchemy import text

from my_service.api.current_user import requires
from my_service.api.dependencies import SessionDep
from my_service.config import Settings


class Counter:
    """Forwards connections to the database, and counts how often they wait for an answer."""

    def __init__(self, host: str, port: int) -> None:
        self._target = host, port
        self._waiting = False
        self.round_trips = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(*self._target)
        await asyncio.gather(
            self._forward(reader, server_writer, waiting=True), self._forward(server_reader, writer, waiting=False)
        )

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, waiting: bool) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                self.round_trips += waiting and not self._waiting
                self._waiting = waiting
                writer.write(data)
        writer.close()


@pytest.fixture
async def counter(settings: Settings) -> AsyncIterator[tuple[Counter, FastAPI]]:
    url = settings.database_url
    if url.get_backend_name() != "postgresql":
        pytest.skip("This test needs PostgreSQL. Unset TEST_DATABASE_URL.")
    counter = Counter(url.host or "", url.port or 5432)
    proxy = await asyncio.start_server(counter.serve, "127.0.0.1", 0)
    url = url.set(host="127.0.0.1", port=proxy.sockets[0].getsockname()[1])
    changes = {"database_url": url, "database_pool_pre_ping": False}
    async with running(settings.model_copy(update=changes)) as app:
        yield counter, app
    proxy.close()


async def test_authentication_adds_one_round_trip(counter: tuple[Counter, FastAPI]) -> None:
    count, app = counter

    async def read(session: SessionDep) -> None:
        await session.execute(text("SELECT 1"))

    app.add_api_route("/open", read)
    app.add_api_route("/protected", read, dependencies=[requires()])
    app.add_api_route("/user-only", lambda: None, dependencies=[requires()])
    found: dict[str, int] = {}
    async with connected(app) as client:
        for _ in range(3):  # The first request opens the connection, and prepares the statements.
            for path in ("/open", "/protected", "/user-only"):
                before = count.round_trips
                assert (await client.get(path)).status_code == 200
                found[path] = count.round_trips - before
    assert found == {"/open": 1, "/protected": 2, "/user-only": 1}

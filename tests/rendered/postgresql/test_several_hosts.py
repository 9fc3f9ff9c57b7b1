"""Tests of URLs with several hosts. tests/test_failover.py tests a real failover."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from structlog.typing import EventDict

from my_service.config import Settings
from my_service.database import Database
from my_service.database_url import parse_database_url
from my_service.errors import OperatorError


@pytest.mark.parametrize(
    ("value", "hosts", "shown"),
    [
        ("postgres://u:a,b@h1:1,h2:2/db", "h1:1,h2:2", "postgresql+asyncpg://u:***@[h1:1,h2:2]/db"),
        ("postgresql://u@h1,h2?", "h1,h2", None),
        ("postgresql://h1,h2/db?sslmode=require", "h1,h2", "postgresql+asyncpg://h1,h2/db?sslmode=require"),
        ("postgresql://u@[::1]:1,[::2]:2/db", "[::1]:1,[::2]:2", "postgresql+asyncpg://u@[[::1]:1,[::2]:2]/db"),
        ("postgresql+asyncpg://u@[h1:1,h2:2]/db", "h1:1,h2:2", "postgresql+asyncpg://u@[h1:1,h2:2]/db"),
        ("postgresql://u:a,b@h1/db", "h1", "postgresql+asyncpg://u:***@h1/db"),
        ("sqlite:///a,b.db", None, "sqlite+aiosqlite:///a%2Cb.db"),
    ],
)
def test_url_with_several_hosts_is_parsed(value: str, hosts: str | None, shown: str | None) -> None:
    if shown is None:
        with pytest.raises(ValueError, match="has no database name"):
            parse_database_url(value)
        return
    url = parse_database_url(value)
    assert (url.host, str(url)) == (hosts, shown)


class Relay:
    """A second address of the server. It can become silent."""

    def __init__(self, target: int) -> None:
        self.port = 0
        self._target = target
        self._writers: list[asyncio.StreamWriter] = []
        self.silent = False

    async def serve(self) -> asyncio.Server:
        server = await asyncio.start_server(self._accept, "127.0.0.1")
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target_reader, target_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers += [writer, target_writer]
        await asyncio.gather(self._copy(reader, target_writer), self._copy(target_reader, writer))

    async def _copy(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                if self.silent:
                    return
                target.write(data)
        except ConnectionError:
            pass
        target.close()

    def send_to_clients(self, message: bytes) -> None:
        for writer in self._writers[::2]:
            writer.write(message)

    def close(self) -> None:
        for writer in self._writers:
            writer.close()


@pytest.fixture
async def relay(settings: Settings) -> AsyncIterator[Relay]:
    if settings.database_url.get_backend_name() != "postgresql":
        pytest.skip("This test needs PostgreSQL. Unset TEST_DATABASE_URL.")
    relay = Relay(settings.database_url.port or 0)
    server = await relay.serve()
    yield relay
    relay.close()
    server.close()


@asynccontextmanager
async def database_behind(relay: Relay, settings: Settings) -> AsyncIterator[Database]:
    """Yield the database of the tests with two hosts: the relay, and the server."""
    server = settings.database_url
    hosts = f"127.0.0.1:{relay.port},127.0.0.1:{server.port}"
    url = parse_database_url(
        f"postgresql://{server.username}@{hosts}/{server.database}?target_session_attrs=read-write"
    )
    database = Database(settings.model_copy(update={"database_url": url, "database_connect_timeout": 5}))
    yield database
    await database.dispose()


async def test_silent_first_host_delays_only_the_first_connection(relay: Relay, settings: Settings) -> None:
    relay.silent = True
    async with database_behind(relay, settings) as database:
        started = perf_counter()
        async with database.session() as session:
            assert await session.scalar(text("SELECT 1")) == 1
            assert 0.4 < perf_counter() - started < 3
            started = perf_counter()
            async with database.session() as other:
                assert await other.scalar(text("SELECT 1")) == 1
            assert perf_counter() - started < 0.4


async def test_connection_to_another_host_ends_queries_on_the_silent_host(
    relay: Relay, settings: Settings, log_lines: list[EventDict]
) -> None:
    async with database_behind(relay, settings) as database, database.sessions() as session:
        await session.execute(text("SELECT 1"))
        relay.silent = True
        waiting = asyncio.create_task(session.execute(text("SELECT 1")))
        async with database.session():
            pass
        with pytest.raises(DBAPIError) as raised:
            await asyncio.wait_for(waiting, 3)
        assert database.backend.is_transient(raised.value)
        (line,) = (line for line in log_lines if line["event"] == "database_host_changed")
        assert (line["host"], line["closed_connections"]) == (f"127.0.0.1:{settings.database_url.port}", 1)


async def test_connection_that_received_a_fatal_error_is_replaced(relay: Relay, settings: Settings) -> None:
    fields = b"SFATAL\0C57P01\0Mterminating connection due to unexpected postmaster exit\0\0"
    url = settings.database_url.set(port=relay.port)
    database = Database(settings.model_copy(update={"database_url": url, "database_pool_size": 1}))
    async with database.read_only_session() as session:
        pid = await session.scalar(text("SELECT pg_backend_pid()"))
        # A server that stops sends this error to idle connections, a moment before it closes them.
        relay.send_to_clients(b"E" + (len(fields) + 4).to_bytes(4) + fields)
        await asyncio.sleep(0.1)
        with pytest.raises(DBAPIError) as raised:
            await session.execute(text("SELECT 1"))
        assert database.backend.is_transient(raised.value)
    async with database.read_only_session() as session:
        assert await session.scalar(text("SELECT pg_backend_pid()")) != pid
    await database.dispose()


async def test_error_has_the_reason_of_each_host_and_no_password(settings: Settings) -> None:
    url = parse_database_url("postgresql://user:hunter2@127.0.0.1:1,127.0.0.1:2/name")
    changes = {"database_url": url, "database_startup_timeout": 0}
    with pytest.raises(OperatorError) as raised:
        await Database(settings.model_copy(update=changes)).connect()
    message = str(raised.value)
    assert "127.0.0.1:1: ConnectionRefusedError" in message
    assert "127.0.0.1:2: ConnectionRefusedError" in message
    assert "\n" not in message
    assert "hunter2" not in message

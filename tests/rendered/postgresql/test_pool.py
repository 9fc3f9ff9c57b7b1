"""Tests of the connection pool under changing load, and of its request queue."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.pool import AsyncAdaptedQueuePool
from sqlalchemy.util import greenlet_spawn
from support.polling import wait_until

from my_service.backends import backend_for, postgresql
from my_service.backends.pool import OverflowPool
from my_service.config import Settings
from my_service.database import Database
from my_service.errors import DatabaseUnavailableError


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Return settings with the default pool: 5 connections, and an overflow of 10."""
    if settings.database_url.get_backend_name() != "postgresql":
        pytest.skip("This test needs PostgreSQL. Unset TEST_DATABASE_URL.")
    return settings


class Clock:
    """Replacement for the `time` module, with a time that tests set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Load:
    """Sends requests to a database, and counts its connections."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self.database = database
        self.opened = 0
        self.open = 0
        self.most_open = 0
        self._clock = clock
        event.listen(database.engine.sync_engine, "connect", self._on_connect)
        event.listen(database.engine.sync_engine, "close", self._on_close)

    def _on_connect(self, *_: object) -> None:
        self.opened += 1
        self.open += 1
        self.most_open = max(self.open, self.most_open)

    def _on_close(self, *_: object) -> None:
        self.open -= 1

    @property
    def status(self) -> tuple[int, ...]:
        """Numbers of connections: in use, idle and overflow."""
        status = self.database.pool_status()
        return status.in_use, status.idle, status.overflow

    async def burst(self, clients: int) -> None:
        """Let all clients send one request at the same time."""
        await asyncio.gather(*(self._request() for _ in range(clients)))

    async def minute(self, clients: int) -> None:
        """Let each client send 100 requests, one after the other, and trim the pool at the end of the minute."""

        async def send_requests() -> None:
            for _ in range(100):
                await self._request()

        await asyncio.gather(*(send_requests() for _ in range(clients)))
        await self.pass_minute()

    async def pass_minute(self) -> None:
        self._clock.now += postgresql.OVERFLOW_IDLE_TIMEOUT
        pool = self.database.engine.pool
        assert isinstance(pool, OverflowPool)
        await greenlet_spawn(pool.close_unused)

    async def _request(self) -> None:
        async with self.database.session() as session:
            await session.execute(text("SELECT 1"))


@pytest.fixture
async def load(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Load]:
    clock = Clock()
    monkeypatch.setattr(postgresql, "time", clock)
    database = Database(settings)
    load = Load(database, clock)
    yield load
    await database.dispose()
    assert load.status == (0, 0, 0)


def test_pool_has_the_required_size_and_timeouts(settings: Settings) -> None:
    defaults = Settings(_env_file=None, database_url=settings.database_url)  # type: ignore[call-arg]
    pool: Any = backend_for(settings.database_url).create_engine(defaults).pool
    assert isinstance(pool, AsyncAdaptedQueuePool)
    assert (pool.size(), pool._max_overflow, pool.timeout(), pool._recycle) == (5, 10, 30, 1800)
    assert defaults.database_pool_pre_ping


async def test_burst_opens_at_most_pool_size_and_overflow(load: Load) -> None:
    await load.burst(100)
    assert (load.opened, load.most_open) == (15, 15)
    assert load.status == (0, 15, 10)


async def test_light_load_after_a_burst_opens_no_connection(load: Load) -> None:
    await load.burst(40)
    await load.pass_minute()
    for _ in range(3):
        await load.minute(clients=4)
    assert load.opened == 15
    assert load.status == (0, 5, 0)
    await load.minute(clients=4)
    assert load.opened == 15


async def test_pool_follows_minutes_of_changing_load(load: Load) -> None:
    for round_ in range(1, 3):
        await load.burst(40)
        assert load.status == (0, 15, 10)
        await load.pass_minute()
        assert load.status == (0, 15, 10)  # The load used all connections in this minute.
        opened = load.opened
        for _ in range(3):
            await load.minute(clients=8)
        assert load.status == (0, 8, 3)
        for _ in range(2):
            await load.minute(clients=4)
        assert load.status == (0, 5, 0)
        for _ in range(2):
            await load.pass_minute()
        assert load.status == (0, 5, 0)
        assert load.opened == opened == 5 + 10 * round_
    assert load.most_open == 15


async def test_overflow_connections_are_closed_without_traffic(load: Load) -> None:
    await load.burst(40)
    for expected in ((0, 15, 10), (0, 5, 0), (0, 5, 0)):
        await load.pass_minute()
        assert load.status == expected
    assert load.open == 5


async def test_connection_in_use_is_not_closed(load: Load) -> None:
    await load.burst(40)
    await load.pass_minute()
    async with load.database.session() as session:
        await load.pass_minute()
        await load.pass_minute()
        assert load.status == (1, 4, 0)
        assert await session.scalar(text("SELECT 1")) == 1
    assert load.status == (0, 5, 0)


async def test_process_trims_its_pool(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "OVERFLOW_IDLE_TIMEOUT", 0.01)
    database = Database(settings)
    await database.connect()
    load = Load(database, Clock())
    await load.burst(40)
    await wait_until(lambda: load.status == (0, 5, 0))
    assert load.open == 5
    assert database._trimming
    await database.dispose()
    await asyncio.wait({database._trimming}, timeout=5)
    assert database._trimming.cancelled()


async def test_all_connections_that_the_server_closed_are_replaced(load: Load) -> None:
    await load.burst(40)
    await load.pass_minute()
    await load.pass_minute()
    raw: list[Any] = []
    async with load.database.session() as session:
        raw.append((await (await session.connection()).get_raw_connection()).driver_connection)
    async with load.database.probe_engine.connect() as other:
        await other.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
        )
    await wait_until(lambda: all(connection.is_closed() for connection in raw))
    await load.burst(40)
    in_use, idle, overflow = load.status
    assert in_use == 0
    assert idle == load.open == 5 + overflow <= 15


@pytest.fixture
def one_connection(settings: Settings) -> Settings:
    return settings.model_copy(
        update={"database_pool_size": 1, "database_max_overflow": 0, "database_pool_timeout": 10}
    )


async def test_requests_get_connections_in_order_of_arrival(one_connection: Settings) -> None:
    async def connect(name: str) -> None:
        async with database.session():
            served.append(name)

    def arrive_late(*_: object) -> None:
        tasks.append(asyncio.create_task(connect("late")))

    database = Database(one_connection)
    # The late request arrives when the connection is free again, but other requests wait already.
    event.listen(database.engine.sync_engine, "checkin", arrive_late, once=True)
    served: list[str] = []
    expected = [str(number) for number in range(10)]
    async with database.session():
        tasks = [asyncio.create_task(connect(name)) for name in expected]
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    assert served == [*expected, "late"]
    await database.dispose()


@pytest.mark.parametrize("released", [False, True])
async def test_canceled_waiter_leaves_the_queue(one_connection: Settings, released: bool) -> None:
    async def connect() -> None:
        async with database.session():
            pytest.fail("The canceled waiter got a connection.")

    database = Database(one_connection)
    async with database.session():
        waiter = asyncio.create_task(connect())
        await asyncio.sleep(0)
        if not released:
            waiter.cancel()
    waiter.cancel()
    await asyncio.wait({waiter})
    assert waiter.cancelled()
    async with asyncio.timeout(5), database.session() as session:
        assert await session.scalar(text("SELECT 1")) == 1
    assert (database.pool_status().in_use, database.pool_status().idle) == (0, 1)
    assert not database._queue.locked()
    await database.dispose()


async def test_canceled_request_returns_its_connection(one_connection: Settings) -> None:
    async def work() -> None:
        async with database.session() as session:
            await session.execute(text("SELECT 1"))
            started.set()
            await asyncio.Event().wait()

    database = Database(one_connection)
    started = asyncio.Event()
    request = asyncio.create_task(work())
    await started.wait()
    request.cancel()
    await asyncio.wait({request})
    async with asyncio.timeout(5), database.session() as session:
        assert await session.scalar(text("SELECT 1")) == 1
    assert database.pool_status().in_use == 0
    await database.dispose()


async def test_waiter_fails_after_the_pool_timeout(one_connection: Settings) -> None:
    database = Database(one_connection.model_copy(update={"database_pool_timeout": 0.05}))
    async with database.session():
        with pytest.raises(DatabaseUnavailableError):
            async with database.session():
                pytest.fail("The waiter got a connection, but none is free.")
    assert not database._queue.locked()
    await database.dispose()


async def test_status_shows_connections_and_waiting_requests(settings: Settings) -> None:
    async def work() -> None:
        async with database.session():
            await busy.wait()
            await released.wait()

    database = Database(settings)
    busy, released = asyncio.Barrier(16), asyncio.Event()
    tasks = [asyncio.create_task(work()) for _ in range(15)]
    await busy.wait()
    expected = {"in_use": 15, "idle": 0, "overflow": 10, "limit": 15, "waiting": 0}
    assert database.pool_status().model_dump() == expected
    tasks += [asyncio.create_task(work()) for _ in range(3)]
    await wait_until(lambda: database.pool_status().waiting == 3)
    for task in tasks[15:]:
        task.cancel()
    released.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert database.pool_status().model_dump() == {**expected, "in_use": 0, "idle": 15}
    await database.dispose()

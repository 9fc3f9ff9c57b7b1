"""Who gets a connection when, and which are closed again."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import QueuePool, event

from .errors import DatabaseUnavailableError
from .logs import get_logger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.ext.asyncio import AsyncEngine
    from sqlalchemy.pool import ConnectionPoolEntry

logger = get_logger(__name__)

LINGER = 60.0
"""Seconds that the connections of a busy moment stay open after it."""


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """Connections of this process, as numbers."""

    in_use: int
    idle: int
    overflow: int


class ConnectionPool:
    """What the engine's own pool does otherwise.

    That would close the connections of a busy moment as soon as they are idle, only to open others for the next
    request, which costs more than most requests do with one; and it gives a connection to whoever comes when it is
    given back, however long others have waited for it.

    Args:
        engine: its pool is as large as may be, with no overflow of its own.
        size: how many connections stay open.
    """

    def __init__(self, engine: AsyncEngine, size: int) -> None:
        assert isinstance(engine.pool, QueuePool)
        self._pool = engine.pool
        self._size = size
        self._open = 0
        self._last_busy = 0.0
        self._turns = asyncio.Semaphore(self._pool.size())
        event.listen(engine.sync_engine, "connect", self._on_connect)
        event.listen(engine.sync_engine, "close", self._on_close)
        event.listen(engine.sync_engine, "checkout", self._on_checkout)
        event.listen(engine.sync_engine, "checkin", self._on_checkin)

    def status(self) -> PoolStatus:
        in_use = self._pool.checkedout()
        # One that is being opened is in use, but not open yet.
        idle, overflow = self._open - in_use, self._open - self._size
        return PoolStatus(in_use=in_use, idle=max(0, idle), overflow=max(0, overflow))

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait until a connection can be had, first come, first served.

        Raises:
            DatabaseUnavailableError: all were in use for as long as the pool may wait.
        """
        try:
            async with asyncio.timeout(self._pool.timeout()):
                await self._turns.acquire()
        except TimeoutError as error:
            logger.warning("database_unavailable", reason=f"all {self._pool.size()} connections are in use")
            raise DatabaseUnavailableError from error
        try:
            yield
        finally:
            self._turns.release()

    def _on_connect(self, *_: object) -> None:
        self._open += 1

    def _on_close(self, *_: object) -> None:
        self._open -= 1

    def _on_checkout(self, *_: object) -> None:
        if self._pool.checkedout() > self._size:
            self._last_busy = time.monotonic()

    def _on_checkin(self, _: DBAPIConnection | None, entry: ConnectionPoolEntry) -> None:
        if self._open > self._size and time.monotonic() - self._last_busy > LINGER:
            entry.invalidate()
